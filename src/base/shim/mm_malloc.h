/* Empty on purpose: gcc's immintrin.h includes mm_malloc.h, which would pull in stdlib.h. */
