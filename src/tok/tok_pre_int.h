/* tok_pre_int.h: the words in which a pre-tokenizer is described.
 *
 * A pre-tokenizer is a list of passes. Each pass cuts every piece that the pass before left, on its own: a look-ahead
 * never sees past the piece. A pass is a list of rules, tried in order at each position; the first that matches makes a
 * word; what no rule matches becomes a word of its own, up to the next match. So a list of rules is what others write
 * as a regular expression of alternatives, and each rule's comment says which one it is.
 */
#ifndef LEAT_TOK_PRE_INT_H
#define LEAT_TOK_PRE_INT_H

#include "tok/tok_int.h"

/* A set of code points. White space outside ASCII is in it exactly when its class bit is set, whatever the ranges say
 * (the matchers that models were converted with see such space as a vertical tab). */
typedef struct pre_range {
    uint32_t first, last;
} pre_range;
typedef struct pre_set {
    uint64_t ascii[2];
    uint32_t classes; /* bits of uni_class, for code points from 128 on */
    bool except;      /* the ranges are taken out rather than added */
    const pre_range *ranges; /* sorted; the last one is {0} */
} pre_set;

typedef enum {
    RULE_END,      /* ends a list                                                                  */
    RULE_RUN,      /* [lead]? [body]{min,max} [tail]{0,tail_max} suffix?                           */
    RULE_SUFFIX,   /* 's 't 're 've 'm 'll 'd                                                      */
    RULE_CASED,    /* [lead]? [body]* [tail]+ suffix?, where the sets share the letters without case */
    RULE_PHRASE,   /* [lead]? (\p{L}\p{M}*(?: \p{L}\p{M}*)*)+: words with single spaces between    */
    RULE_NEWLINES, /* \s*[\r\n]+                                                                   */
    RULE_TRAILING, /* \s+(?!\S)                                                                    */
    RULE_HALVES,   /* \s{512}(?!\S)|\s{256}(?!\S)| ... |\s{1,2}(?!\S)|\s                           */
    RULE_SENTINEL, /* <sentinel:[0-9]+>                                                            */
    RULE_IMAGE,    /* IMGIMG[A-I]{1,4}Z                                                            */
    RULE_INDENT,   /* [\t\n]|    |  (a tab or newline, four spaces, two spaces)                    */
} pre_rule_kind;

typedef enum { SUFFIX_NONE, SUFFIX_LOWER, SUFFIX_ANY_CASE } pre_suffix;

typedef struct pre_rule {
    uint8_t kind;
    uint8_t suffix;    /* RULE_SUFFIX itself, or what may follow the others */
    bool lead_needed;
    uint8_t min, max;  /* 0: 1, and no limit */
    uint8_t tail_max;  /* 0: no limit */
    const pre_set *lead, *body, *tail;
} pre_rule;

typedef enum {
    PASS_END,       /* ends a list */
    PASS_RULES,
    PASS_DIGITS,    /* cuts after each group of three digits (\p{N}) counted from the right, nowhere else */
    PASS_THOUSANDS, /* (?=(\d{3})+(?!\d)): cuts before each such group of ASCII digits                     */
    PASS_END_SPACE, /* \s+$                                                                                */
} pre_pass_kind;

typedef struct pre_pass {
    uint8_t kind;
    const pre_rule *rules;
} pre_pass;

struct tok_pre {
    const char *name;
    const pre_pass *passes;
    uint32_t flags;
};

extern const struct tok_pre tok_pres[];
extern const size_t tok_pre_count;
extern const pre_set tok_pre_space, tok_pre_letter, tok_pre_number, tok_pre_mark;

#endif
