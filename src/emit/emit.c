/* emit.c: stop strings and whole characters in a stream of pieces. Next: tools/run.c, a user. */
#include "emit/emit.h"

#define STOPS_BYTES_MAX ((size_t)1 << 20)

err_code emit_open(emit *m, const str *stops, size_t n_stops, size_t piece_max, err *e) {
    size_t longest = 0;
    for (size_t i = 0; i < n_stops; i++) longest = MAX(longest, stops[i].len);
    if (longest > STOPS_BYTES_MAX)
        return ERR(e, ERR_LIMIT, "a stop string of %zu bytes is longer than the %zu allowed", longest, STOPS_BYTES_MAX);
    m->stops = stops;
    m->n_stops = n_stops;
    m->n_held = 0;
    m->held_max = piece_max + longest + 4; /* a beginning of a stop string, or of a character */
    m->held = mem_block(MEM_TOOLS, m->held_max);
    return m->held ? ERR_NONE : ERR(e, ERR_MEMORY, "no memory for %zu bytes of text", m->held_max);
}

void emit_close(emit *m) {
    mem_block_free(m->held);
    m->held = NULL;
}

/* Where the first complete stop string begins, or SIZE_MAX. */
static size_t find_stop(const emit *m) {
    size_t first = SIZE_MAX;
    for (size_t i = 0; i < m->n_stops; i++)
        first = MIN(first, str_find((str){m->held, m->n_held}, m->stops[i]));
    return first;
}

/* Length of the longest end of held that begins a stop string. */
static size_t begun_stop(const emit *m) {
    size_t longest = 0;
    for (size_t i = 0; i < m->n_stops; i++) {
        str stop = m->stops[i];
        for (size_t n = MIN(stop.len - 1, m->n_held); n > longest; n--)
            if (!memcmp(m->held + m->n_held - n, stop.ptr, n)) longest = n;
    }
    return longest;
}

static void release(emit *m, size_t n) {
    if (n) m->write(m->user, m->held, n);
    m->n_held -= n;
    memmove(m->held, m->held + n, m->n_held);
}

bool emit_piece(emit *m, const char *piece, size_t n) {
    ASSERT(n <= m->held_max - m->n_held);
    memcpy(m->held + m->n_held, piece, n);
    m->n_held += n;
    size_t stop = find_stop(m);
    if (stop != SIZE_MAX) {
        m->n_held = stop;
        emit_end(m);
        return true;
    }
    /* What may be a stop string's beginning is withheld first; of the rest, whole characters may go. */
    release(m, utf8_complete(m->held, m->n_held - begun_stop(m)));
    return false;
}

void emit_end(emit *m) {
    release(m, utf8_complete(m->held, m->n_held));
    m->n_held = 0;
}
