/* tiny_model.h: what tests of the engine share: a tiny model that was drawn and opened, and how far two rows of logits
 * are from each other. */
#ifndef LEAT_TINY_MODEL_H
#define LEAT_TINY_MODEL_H

#include "check.h"
#include "gen/tiny.h"
#include "leat.h"

/* Of a file with that name in the test's folder. */
static inline leat_model *open_tiny(const tiny_spec *spec, const char *name) {
    leat_model *m;
    leat_error e;
    const char *path = test_path(0, name);
    tiny_write(spec, path);
    CHECK_MSG(leat_model_open(&m, path, NULL, &e) == LEAT_OK, "%s", e.text);
    return m;
}

/* Mean square of the error over that of b. */
static inline double nmse(const float *a, const float *b, size_t n) {
    double error = 0, square = 0;
    for (size_t i = 0; i < n; i++) {
        error += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        square += (double)b[i] * b[i];
    }
    return error / square;
}

#endif
