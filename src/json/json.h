/* json.h: JSON (RFC 8259), read strictly and written in several styles.
 *
 * One pull reader walks a text that is in memory and gives events; json_parse makes a tree of them. Both are linear in
 * the text, keep no state but their own, never recurse, and take all memory from the caller's arena. The writer sends
 * pieces to a function and needs no memory at all.
 *
 * Refused: what the RFC has not (NaN, comments, trailing commas), bytes that are not UTF-8, and \u escapes that are
 * half of a surrogate pair, since no UTF-8 text can hold them. Numbers keep their kind: 1 is an integer, 1.0 and 1e0
 * are floats; an integer beyond 64 bits keeps its digits.
 */
#ifndef LEAT_JSON_H
#define LEAT_JSON_H

#include "mem/mem.h"

enum {
    JSON_DEPTH_MAX = 512,     /* arrays and objects inside each other */
    JSON_FLOAT_TEXT_MAX = 32, /* bytes of json_float_text             */
};

typedef enum {
    JSON_NULL,
    JSON_BOOL,
    JSON_INT,   /* fits in 64 bits                             */
    JSON_BIG,   /* an integer that does not: its digits, a str */
    JSON_FLOAT,
    JSON_STR,
    JSON_ARRAY,
    JSON_OBJECT,
} json_kind;
const char *json_kind_name(json_kind kind); /* "an integer", for error texts */

typedef struct json_member json_member;
typedef struct json_value {
    json_kind kind;
    uint32_t count; /* items, members, or bytes of a string or of digits */
    union {
        bool b;
        int64_t i;
        double f;
        const char *s; /* UTF-8, not terminated */
        const struct json_value *items;
        const json_member *members; /* in the order of the text; no key twice */
    };
} json_value;
struct json_member {
    str key;
    json_value value;
};

/* ---- reading ------------------------------------------------------------------------------------- */

/* The whole text must be one value. Strings without escapes point into text, which must live as long as the tree; the
 * rest is in the arena (at most 16 bytes for one of the text). Of members with the same key the last value counts, at
 * the place of the first. Errors name offset, seen and wanted. */
err_code json_parse(arena *a, str text, json_value *out, err *e);
/* The same; yield may be NULL. */
err_code json_parse_yielding(arena *a, str text, const yield_hook *yield, json_value *out, err *e);

static inline str json_str(const json_value *v) { return (str){v->s, v->count}; }
/* The member of an object, or NULL (also where v is NULL or no object). */
const json_value *json_get(const json_value *v, const char *key);

typedef enum {
    JSON_EVENT_VALUE,  /* *value is a scalar                       */
    JSON_EVENT_KEY,    /* *value is a string; its value comes next */
    JSON_EVENT_ARRAY,  /* an array begins                          */
    JSON_EVENT_OBJECT, /* an object begins                         */
    JSON_EVENT_CLOSE,  /* the innermost one ends                   */
    JSON_EVENT_END,    /* and nothing but white space follows      */
} json_event;

typedef struct json_reader {
    str text;
    size_t at;
    arena *strings; /* of strings with escapes */
    uint32_t depth;
    uint8_t state;
    uint64_t in_object[JSON_DEPTH_MAX / 64]; /* a bit for each open level */
} json_reader;
void json_read(json_reader *r, str text, arena *strings);
err_code json_next(json_reader *r, json_event *event, json_value *value, err *e);

/* ---- writing ------------------------------------------------------------------------------------- */

typedef struct json_style {
    const char *between; /* items: "," or ", "                                        */
    const char *colon;   /* ":" or ": "                                               */
    str indent;          /* of one level; used when lines is set                      */
    bool lines;          /* an item a line                                            */
    bool ascii;          /* what is not ASCII as \u escapes                           */
    bool not_finite;     /* NaN, Infinity and -Infinity by name, as Python; else null */
} json_style;
extern const json_style json_compact; /* {"a":1,"b":[]} */
extern const json_style json_spaced;  /* {"a": 1, "b": []} */

typedef struct json_writer {
    void (*put)(void *to, const char *bytes, size_t n);
    void *to;
    json_style style;
    uint32_t depth;
    bool empty, after_key;
} json_writer;
void json_write_start(json_writer *w, const json_style *style, void (*put)(void *, const char *, size_t), void *to);
void json_write_open(json_writer *w, json_kind array_or_object);
void json_write_close(json_writer *w, json_kind array_or_object);
void json_write_key(json_writer *w, str key);
void json_write_str(json_writer *w, str s); /* what is not UTF-8 becomes U+FFFD */
void json_write_int(json_writer *w, int64_t i);
void json_write_float(json_writer *w, double f);
void json_write_bool(json_writer *w, bool b);
void json_write_null(json_writer *w);
void json_write_raw(json_writer *w, str text); /* a value that is JSON already */
void json_write_value(json_writer *w, const json_value *v);

/* The shortest text that reads back as f, in Python's spelling: 1.0, 0.1, 1e+16, 5e-324, inf, nan. */
size_t json_float_text(char out[JSON_FLOAT_TEXT_MAX], double f);

#endif
