/* tiny_model.h: what tests of the engine share: a tiny model that was drawn and opened, a session of it that is asked
 * as a server does, and how far two rows of logits are from each other. */
#ifndef LEAT_TINY_MODEL_H
#define LEAT_TINY_MODEL_H

#include "check.h"
#include "gen/tiny.h"
#include "leat.h"

#include <string.h>

/* Of a file with that name in the test's folder. */
static inline leat_model *open_tiny(const tiny_spec *spec, const char *name) {
    leat_model *m;
    leat_error e;
    const char *path = test_path(0, name);
    tiny_write(spec, path);
    CHECK_MSG(leat_model_open(&m, path, NULL, &e) == LEAT_OK, "%s", e.text);
    return m;
}

static inline leat_session *open_tiny_session(leat_model *m, leat_session_options options) {
    leat_session *s;
    leat_error e;
    CHECK_MSG(leat_session_open(&s, m, &options, &e) == LEAT_OK, "%s", e.text);
    return s;
}

/* A prompt, then some generated tokens; what was there of the prompt already. */
static inline size_t ask(leat_session *s, const int32_t *ids, size_t n, size_t n_generated) {
    leat_error e;
    size_t kept;
    CHECK_MSG(leat_reuse(s, ids, n, true, &kept, &e) == LEAT_OK, "%s", e.text);
    CHECK(kept < n && (size_t)leat_session_length(s) == kept);
    CHECK(!memcmp(leat_session_tokens(s), ids, kept * sizeof *ids));
    CHECK_MSG(leat_feed(s, ids + kept, n - kept, LEAT_PROMPT, &e) == LEAT_OK, "%s", e.text);
    for (size_t i = 0; i < n_generated; i++) CHECK(leat_feed(s, (int32_t[]){7}, 1, LEAT_GENERATED, &e) == LEAT_OK);
    return kept;
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
