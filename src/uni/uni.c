/* uni.c: looks code points up in the generated tables. The tables are in uni_tables.c, their users in tok/. */
#include "uni/uni_int.h"

uni_class uni_class_of(uint32_t cp) {
    if (cp >= 0x110000) return UNI_UNASSIGNED;
    uint8_t two = uni_classes[uni_block[cp / UNI_BLOCK]][cp % UNI_BLOCK / 2];
    return (uni_class)(cp % 2 ? two >> 4 : two & 15);
}

uint32_t uni_lower(uint32_t cp) {
    if (cp < 128) return cp - 'A' < 26 ? cp + 32 : cp;
    uint32_t lo = 0, hi = uni_case_count; /* the answer, if any, is the last range that starts at or before cp */
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (uni_cases[mid].first <= cp) lo = mid + 1;
        else hi = mid;
    }
    if (lo == 0) return cp;
    const uni_case *c = &uni_cases[lo - 1];
    return cp <= c->last && (cp - c->first) % c->step == 0 ? cp + (uint32_t)c->delta : cp;
}

uint32_t uni_upper(uint32_t cp) {
    if (cp < 128) return cp - 'a' < 26 ? cp - 32 : cp;
    for (uint32_t i = 0; i < uni_case_count; i++) {
        const uni_case *c = &uni_cases[i];
        uint32_t from = cp - (uint32_t)c->delta;
        if (from >= c->first && from <= c->last && (from - c->first) % c->step == 0) return from;
    }
    return cp;
}

uint32_t uni_base(uint32_t cp) {
    if (cp < 0xC0) return cp;
    if (cp - 0xAC00 < 11172) return 0x1100 + (cp - 0xAC00) / 588; /* Hangul syllable: its leading consonant */
    uint32_t lo = 0;
    if (cp < 0x10000) {
        for (uint32_t hi = uni_base16_count; lo < hi;) {
            uint32_t mid = (lo + hi) / 2;
            if (uni_bases16[mid].from < cp) lo = mid + 1;
            else hi = mid;
        }
        if (lo < uni_base16_count && uni_bases16[lo].from == cp) return uni_bases16[lo].to;
    }
    lo = 0;
    for (uint32_t hi = uni_base32_count; lo < hi;) {
        uint32_t mid = (lo + hi) / 2;
        if (uni_bases32[mid].from < cp) lo = mid + 1;
        else hi = mid;
    }
    return lo < uni_base32_count && uni_bases32[lo].from == cp ? uni_bases32[lo].to : cp;
}
