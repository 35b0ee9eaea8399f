#!/usr/bin/env python3
"""pack.py IMAGE PACKED: a disk image as tests/volume_image.h reads it. How the images here were made: make.sh."""
import struct, sys

image = open(sys.argv[1], "rb").read()
out = bytearray(struct.pack("<H", len(image) // 4096))
at, zero = 0, bytes(64)
while at < len(image):
    end = at
    while end < len(image) and end - at < 256 * 64 and image[end:end + 64] != zero:
        end += 64
    if end > at:
        out += struct.pack("<HB", at // 64, (end - at) // 64 - 1) + image[at:end]
    at = end if end > at else at + 64
open(sys.argv[2], "wb").write(out)
