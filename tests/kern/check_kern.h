/* check_kern.h: what the checks of the kernels share: seeded data, weights of any type, buffers between guard pages.
 */
#ifndef LEAT_CHECK_KERN_H
#define LEAT_CHECK_KERN_H

#include "check.h"
#include "kern/kern.h"

/* Of levels whose instructions are written out; NULL where there is none. */
extern const kern ck_avxvnni_model __attribute__((weak)), ck_amx_model __attribute__((weak));
const kern *ck_find(const char *name);

/* Every level that this machine runs, scalar first, and every model. */
#define EACH_LEVEL(k) for (const kern *k = kern_at(0); k; k = ck_next(k))
const kern *ck_next(const kern *k);

/* Values as activations have them: normal, or with outliers. */
void ck_fill(rng *r, float *x, size_t n, bool outliers);

/* A matrix of random blocks of a type, with decoded values that are finite and not too large. It ends at a guard page and
 * is aligned to nothing. */
typedef struct ck_weights {
    const quant_type *type;
    size_t n_rows, n_in, row_bytes, bytes;
    uint8_t *b;
} ck_weights;
void ck_weights_open(ck_weights *w, rng *r, const quant_type *type, size_t n_rows, size_t n_in);
void ck_weights_close(ck_weights *w);
void ck_row(const ck_weights *w, size_t r, float *out); /* row r, decoded */

/* out (n_act, n_rows) = w x for n_rows rows from the first, with every buffer between guard pages. x is (n_act, n_in). */
void ck_matmul(const kern *k, kern_role role, const ck_weights *w, size_t first_row, size_t n_rows, const float *x,
               size_t n_act, float *out);
/* The same in double arithmetic over the reference decoder. */
void ck_exact(const ck_weights *w, const float *x, size_t n_act, double *out);

#endif
