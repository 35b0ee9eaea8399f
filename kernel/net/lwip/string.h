/* string.h for lwIP: what it uses beside the quartet of src/base/shim/string.h. */
#ifndef LEAT_LWIP_STRING_H
#define LEAT_LWIP_STRING_H

#include "base/shim/string.h"

static inline size_t strlen(const char *s) {
    size_t n = 0;
    while (s[n]) n++;
    return n;
}

static inline int strncmp(const char *a, const char *b, size_t n) {
    for (; n; a++, b++, n--)
        if (*a != *b || !*a) return (unsigned char)*a - (unsigned char)*b;
    return 0;
}

#endif
