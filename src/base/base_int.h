/* base_int.h: what the files of base share: exact decimal digits of a double (decimal.c). */
#ifndef LEAT_BASE_INT_H
#define LEAT_BASE_INT_H

#include "base/base.h"

/* The longest exact expansion has 767 significant digits (the largest subnormal); limbs hold nine each. */
#define DECIMAL_DIGITS_MAX 792

typedef struct decimal {
    char digits[DECIMAL_DIGITS_MAX]; /* '0'..'9', the first one not '0'; not terminated */
    int n;                           /* digits held; 0 for the value zero               */
    int point;                       /* the value is 0.DIGITS * 10^point                */
} decimal;

void decimal_of(decimal *d, double x);    /* |x|, exactly; x is finite                */
void decimal_round(decimal *d, int keep); /* to keep digits, half to even; strips trailing zeros */

#endif
