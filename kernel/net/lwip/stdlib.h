/* stdlib.h for lwIP: the number in an interface's name. */
#ifndef LEAT_LWIP_STDLIB_H
#define LEAT_LWIP_STDLIB_H

static inline int atoi(const char *s) {
    int n = 0;
    for (; *s >= '0' && *s <= '9' && n < 100000; s++) n = 10 * n + (*s - '0');
    return n;
}

#endif
