#!/usr/bin/env python3
"""Writes src/uni/uni_tables.c: python3.13 src/uni/gen/uni_gen.py > src/uni/uni_tables.c

The data is Python's unicodedata module; the version is pinned because tokens depend on it.
"""
import sys
import unicodedata

VERSION = "15.1.0"  # Python 3.13
BLOCK = 128
TOP = 0x110000
CLASS = {"L": 1, "N": 2, "M": 3, "P": 4, "S": 5}
SPACE, CONTROL = 6, 7
# White_Space of PropList.txt
WHITE = {*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}

if unicodedata.unidata_version != VERSION:
    sys.exit(f"this Python has Unicode {unicodedata.unidata_version}, the tables need {VERSION}")


def class_of(cp):
    if cp in WHITE:
        return SPACE
    cat = unicodedata.category(chr(cp))
    assert cat[0] != "Z"
    return CLASS.get(cat[0], 0 if cat == "Cn" else CONTROL)


def lower(cp):
    if cp == 0x130:  # the simple mapping of UnicodeData.txt; lower() gives the full one, of two code points
        return 0x69
    return ord(chr(cp).lower())


def base(cp):
    return ord(unicodedata.normalize("NFD", chr(cp))[0])


def rows(items):
    """Prints the items, as many to a line as 120 columns hold."""
    line = "   "
    for item in items:
        if len(line) + 1 + len(item) > 120:
            print(line)
            line = "   "
        line += " " + item
    print(line)


blocks, index = {}, []
for start in range(0, TOP, BLOCK):
    index.append(blocks.setdefault(tuple(class_of(cp) for cp in range(start, start + BLOCK)), len(blocks)))

cases = []  # [first, last, delta, step]
for cp in range(128, TOP):
    delta = lower(cp) - cp
    if delta == 0:
        continue
    run = cases[-1] if cases else None
    if run and run[2] == delta and (cp - run[1] == run[3] or (run[0] == run[1] and cp - run[1] == 2)):
        run[3] = cp - run[1]
        run[1] = cp
    else:
        cases.append([cp, cp, delta, 1])

pairs16, pairs32 = [], []
for cp in range(TOP):
    if 0xAC00 <= cp < 0xAC00 + 11172:
        assert base(cp) == 0x1100 + (cp - 0xAC00) // 588
    elif base(cp) != cp:
        (pairs16 if max(cp, base(cp)) < 0x10000 else pairs32).append((cp, base(cp)))

print(f"/* uni_tables.c: written by gen/uni_gen.py from Unicode {VERSION}; not to be edited. */")
print('#include "uni/uni_int.h"\n')
print("const uint8_t uni_block[0x110000 / UNI_BLOCK] = {")
rows([f"{i}," for i in index])
print("};\n\nconst uint8_t uni_classes[][UNI_BLOCK / 2] = {")
for b in blocks:
    print("    {")
    rows([f"{b[i] | b[i + 1] << 4}," for i in range(0, BLOCK, 2)])
    print("    },")
print("};\n\nconst uni_case uni_cases[] = {")
rows(["{0x%X, 0x%X, %d, %d}," % tuple(c) for c in cases])
print("};\nconst uint32_t uni_case_count = COUNT_OF(uni_cases);\n\nconst uni_pair16 uni_bases16[] = {")
rows(["{0x%X, 0x%X}," % p for p in pairs16])
print("};\nconst uint32_t uni_base16_count = COUNT_OF(uni_bases16);\n\nconst uni_pair32 uni_bases32[] = {")
rows(["{0x%X, 0x%X}," % p for p in pairs32])
print("};\nconst uint32_t uni_base32_count = COUNT_OF(uni_bases32);")
