/* emit.h: generated text on its way to a reader. Holds back what is not certain yet: the bytes of an unfinished
 * UTF-8 character, and what may turn out to be the beginning of a stop string.
 */
#ifndef LEAT_EMIT_H
#define LEAT_EMIT_H

#include "mem/mem.h"

typedef struct emit {
    void (*write)(void *user, const char *bytes, size_t n);
    void *user;
    const str *stops; /* (n_stops), none of them empty */
    size_t n_stops;
    char *held;       /* not written yet */
    size_t n_held, held_max;
} emit;

/* piece_max: the longest piece that will come. stops must outlive the emit; each at most 1 MiB. write and
 * user are the caller's to set. */
err_code emit_open(emit *m, const str *stops, size_t n_stops, size_t piece_max, err *e);
void emit_close(emit *m); /* accepts a zeroed one */
/* Takes a piece (at most piece_max bytes) and writes what is certain. True when a stop string is complete: nothing of
 * it nor of what follows is written, now or later. */
bool emit_piece(emit *m, const char *piece, size_t n);
/* The text ends here: writes what was held back for a stop string; an unfinished character is dropped. */
void emit_end(emit *m);

#endif
