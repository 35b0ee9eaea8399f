/* tok_int.h: what the files of this folder share.
 *
 * tok.c opens a vocabulary and walks a text; tok_special.c knows the special tokens; tok_bpe.c, tok_spm.c and tok_wpm.c
 * are the kinds; tok_merge.c is the loop that the first two share; tok_pre.c cuts words for BPE, by tok_pre_tables.c;
 * tok_decode.c goes back; tok_names.c and tok_text.c serve all.
 */
#ifndef LEAT_TOK_INT_H
#define LEAT_TOK_INT_H

#include "tok/tok.h"
#include "uni/uni.h"

#define TOK_NONE UINT32_MAX
#define TOK_TEXT_MAX ((size_t)1 << 29) /* bytes of one text: positions and counts of it fit 32 bits */

/* ---- strings with numbers (tok_names.c) ----------------------------------------------------------- */

typedef struct tok_names {
    str *items;
    uint64_t *slots; /* open addressing: hash in the high half, index + 1 in the low; 0 is free */
    uint64_t seed;
    uint32_t count, cap, mask;
} tok_names;

/* Room for cap strings; more may be added. The bytes of added strings stay the caller's. */
bool tok_names_open(tok_names *n, arena *a, size_t cap, uint64_t seed);
uint32_t tok_names_find(const tok_names *n, str s); /* TOK_NONE when absent */
/* The same with the hash of s, that of all names with one seed. */
uint64_t tok_names_hash(const tok_names *n, str s);
uint32_t tok_names_find_hashed(const tok_names *n, str s, uint64_t hash);
/* Brings what finding that will look at into the cache: steps 0, 1, 2, each some time after the one before. */
void tok_names_warm(const tok_names *n, uint64_t hash, int step);
/* The index of s, which is count - 1 where it is new; TOK_NONE without memory. */
uint32_t tok_names_add(tok_names *n, arena *a, str s);

/* ---- UTF-8 as the models' authors had it (tok_text.c) ---------------------------------------------- */

/* Overlong forms and surrogates pass; each byte of what is otherwise broken is U+FFFD. n > 0. */
uint32_t tok_get_cp(const char *s, size_t n, size_t *len);
size_t tok_put_cp(uint32_t cp, char *out); /* the inverse: 1..4 bytes */
/* Bytes of a character by its first byte alone; 1 for a stray continuation byte. */
static inline size_t tok_char_len(char lead) {
    return (size_t)("\1\1\1\1\1\1\1\1\1\1\1\1\2\2\3\4"[(uint8_t)lead >> 4]);
}
#define TOK_BLANK "\xE2\x96\x81" /* U+2581 stands for a space in SPM, WPM and SPM-like BPE vocabularies */
#define TOK_BLANK_CP 0x2581u

/* ---- pre-tokenizers (tok_pre.c) -------------------------------------------------------------------- */

typedef struct tok_pre tok_pre;
const tok_pre *tok_pre_find(str name); /* NULL when unknown */

/* What a pre-tokenizer's name says besides how to split. */
enum {
    PRE_ADD_BOS = 1 << 0,        /* unless the file says otherwise                              */
    PRE_FORCE_BOS = 1 << 1,      /* even where the file says otherwise                          */
    PRE_NO_BOS = 1 << 2,         /* no BOS unless the file names one                            */
    PRE_WHOLE_WORDS = 1 << 3,    /* a word that is a token needs no merges                      */
    PRE_WHOLE_NEWLINES = 1 << 4, /* a run of newlines that is a token needs none                */
    PRE_KEEP_SPACES = 1 << 5,    /* decoding does not tidy spaces                               */
    PRE_UTF8 = 1 << 6,           /* merges work on characters, not on bytes                     */
    PRE_BLANKS = 1 << 7,         /* U+2581 stands for the space                                 */
    PRE_DROP_SPACES = 1 << 8,    /* white space is no token; text may be lower-cased            */
    PRE_MERGES_OPTIONAL = 1 << 9,
};
uint32_t tok_pre_flags(const tok_pre *p);
const char *tok_pre_title(const tok_pre *p);

/* A text under the splitter: a code point in the low 21 bits, its uni_class above, and a mark where a word begins. */
#define CHAR_CP(c) ((c) & 0x1FFFFFu)
#define CHAR_CLASS(c) ((c) >> 21 & 7u)
#define CHAR_BEGINS 0x80000000u
typedef struct tok_work tok_work;
/* Decodes text into chars (room for text.len) and marks the words; returns how many chars. */
size_t tok_pre_split(const tok_pre *p, str text, uint32_t *chars, tok_work *w);

/* ---- the tokenizer ---------------------------------------------------------------------------------- */

typedef enum { TOK_BPE, TOK_SPM, TOK_WPM } tok_kind;

/* Attributes of a token; several may hold. Those up to BYTE are kinds of the file; with none a token is never shown. */
enum {
    ATTR_NORMAL = 1 << 0,
    ATTR_UNKNOWN = 1 << 1,
    ATTR_CONTROL = 1 << 2,
    ATTR_USER = 1 << 3, /* found in every text before anything else */
    ATTR_BYTE = 1 << 4,
    ATTR_UNUSED = 1 << 5,
    ATTR_LSTRIP = 1 << 6, /* swallows the white space before it */
    ATTR_RSTRIP = 1 << 7, /* and after                          */
    ATTR_ENDS = 1 << 8,   /* generation stops here              */
    ATTR_SPECIAL = ATTR_CONTROL | ATTR_USER | ATTR_UNKNOWN,
};

typedef struct tok_pair {
    uint32_t left, right; /* symbols */
    uint32_t rank;        /* the merge of the lowest rank goes first */
    uint32_t merged;      /* the symbol they make, plus 1; 0: a free slot */
} tok_pair;

struct tok {
    arena mem; /* holds this struct too */
    tok_kind kind;
    tok_names names; /* the vocabulary */
    uint16_t *attr;
    size_t token_bytes_max;
    bool add_space, add_bos, add_eos, tidy_spaces;
    int32_t bos, eos, eot, eom, unk, sep; /* -1: none */

    /* Tokens that are searched for in a text, in the order in which they win: the longest first, then the lowest id. */
    uint32_t *specials; /* ids */
    uint32_t *special_rank; /* of an id, its place there */
    uint32_t *special_lens; /* the lengths there are, longest first */
    uint32_t n_specials, n_special_lens;
    uint8_t *special_starts; /* 65536 bits: their first two bytes */
    bool any_user;           /* some are found whatever the caller says */

    uint32_t byte_token[256]; /* what stands for a byte that is in no token; TOK_NONE where nothing does */

    /* BPE. Symbols are token ids, or, from names.count on, texts that only merges know. */
    const tok_pre *pre;
    uint32_t pre_flags;
    tok_names extra;
    tok_pair *pairs;
    uint32_t pair_mask;
    uint32_t byte_symbol[256]; /* symbol of a byte's character, TOK_NONE where no token or merge has it */
    uint16_t byte_cp[256];     /* the byte alphabet of GPT-2 */
    int16_t cp_byte[324];      /* and back; -1 outside */

    uint32_t *order;       /* SPM: a token's score as a number; the highest score is the least number */
    bool joins_blank[256]; /* SPM: some token has this byte directly before a U+2581 */

    bool lower, strip_accents; /* WPM, and BPE that drops spaces */
    uint32_t *lens, n_lens;    /* WPM: the lengths that tokens have, longest first */
};

/* ---- one call of tok_encode ------------------------------------------------------------------------- */

typedef struct tok_symbol {
    uint32_t at;         /* offset of its bytes in the word; they end where the next symbol's begin */
    uint32_t prev, next; /* TOK_NONE at the ends */
    uint32_t id;         /* token or symbol, TOK_NONE when not looked up or not known */
    uint32_t rank;       /* of the merge with the next symbol, TOK_NONE when there is none */
    uint32_t merged;     /* what that merge gives */
} tok_symbol;

typedef struct tok_cached tok_cached;

struct tok_work {
    const tok *t;
    int32_t *ids; /* the caller's */
    size_t cap, count;
    int32_t *recent; /* the ids of the word at hand, for the cache; NULL or room for 5 */
    size_t n_recent;
    tok_cached *cache;
    uint32_t cache_mask;
    str word;            /* the one being merged */
    char *spelled;       /* BPE: room for a token as the vocabulary writes it */
    tok_symbol *symbols; /* symbol_cap of them, then a heap of twice as many keys */
    uint64_t *heap;
    size_t symbol_cap, heap_count;
    void *block; /* the symbols of a long word */
    const yield_hook *yield;
    uint32_t steps;
    bool cancelled; /* it said stop: what is left of the text is passed over */
    arena mem; /* all else: what the call needs, and above that what one piece of the text needs */
};

static inline void tok_emit(tok_work *w, int32_t id) {
    if (w->count < w->cap) w->ids[w->count] = id;
    w->count++;
    if (w->recent && w->n_recent < 5) w->recent[w->n_recent++] = id;
}

/* To be asked at each byte, character or merge; true: the work is to end. */
#define TOK_YIELD_STEPS 16384
static inline bool tok_stopped(tok_work *w) {
    if (!w->cancelled && ++w->steps % TOK_YIELD_STEPS == 0) w->cancelled = yield_now(w->yield);
    return w->cancelled;
}

err_code tok_work_open(tok_work *w, size_t text_bytes, err *e);
void tok_work_close(tok_work *w);
bool tok_work_reserve(tok_work *w, size_t n_symbols); /* what the symbols held is lost */

/* What two neighbours merge into, and when; false when they do not. */
typedef bool tok_pair_fn(const tok_work *w, const tok_symbol *left, const tok_symbol *right, uint32_t *rank,
                         uint32_t *merged);
/* Merges the first n symbols, which are chained already, until nothing merges. Symbol 0 begins what is left. */
void tok_merge(tok_work *w, size_t n_symbols, tok_pair_fn *pair);

typedef err_code tok_word_fn(tok_work *w, str word, err *e);
/* Emits a word's ids, from the cache where it knows them. */
err_code tok_word(tok_work *w, str word, tok_word_fn *encode, err *e);

void tok_heap_push(uint64_t *heap, size_t *count, uint64_t key);
uint64_t tok_heap_pop(uint64_t *heap, size_t *count); /* the least key; count > 0 */

/* A piece of the text that has no special tokens in it. */
err_code tok_bpe_encode(tok_work *w, str text, err *e);
err_code tok_spm_encode(tok_work *w, str text, bool add_space, err *e);
err_code tok_wpm_encode(tok_work *w, str text, err *e);

/* ---- opening, in this order, after the vocabulary is read ------------------------------------------- */

err_code tok_special_open(tok *t, const gguf *g, err *e);
err_code tok_bpe_open(tok *t, const gguf *g, err *e);
err_code tok_spm_open(tok *t, const gguf *g, err *e);
err_code tok_wpm_open(tok *t, err *e);

/* An array of strings (want_str) or of numbers with n items at least; NULL where the key is absent, which is an error
 * unless optional. */
err_code tok_array(const gguf *g, const char *key, bool want_str, uint64_t n, const gguf_kv **out, err *e);

/* ---- special tokens in a text (tok_special.c) ---------------------------------------------------------- */

/* Text; the first byte of a token; its others; space that it swallows. */
enum { COVER_TEXT, COVER_TOKEN, COVER_REST, COVER_DROPPED };
/* What each byte of the text belongs to, in w->mem; *cover is NULL where there are no special tokens. `control`: those
 * that are not the user's count too. */
err_code tok_special_cover(tok_work *w, str text, bool control, uint8_t **cover, err *e);

#endif
