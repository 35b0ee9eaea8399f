/* tok_pre.c: cuts text into the words that BPE merges stay within.
 *
 * The pre-tokenizers themselves are data in tok_pre_tables.c, in the words of tok_pre_int.h; here are the matchers.
 * All of them take time in proportion to the text: a run of white space, which several rules measure from each
 * position in it, is measured once. tok_bpe.c takes the words from here.
 */
#include "tok/tok_pre_int.h"

typedef struct matcher {
    const uint32_t *c;
    size_t end;
    size_t space_from, space_to; /* the run of white space last measured */
    size_t newline_to;           /* where its last \r or \n ends; 0 when it has none */
} matcher;

static bool in_ranges(const pre_range *r, uint32_t cp) {
    for (; r->last && r->first <= cp; r++)
        if (cp <= r->last) return true;
    return false;
}

static inline bool in_set(const pre_set *s, uint32_t c) {
    uint32_t cp = CHAR_CP(c);
    if (cp < 128) return s->ascii[cp >> 6] >> (cp & 63) & 1;
    bool in = s->classes >> CHAR_CLASS(c) & 1;
    if (!s->ranges || in != s->except || CHAR_CLASS(c) == UNI_SPACE) return in;
    return in_ranges(s->ranges, cp) != s->except;
}

static inline bool is(const matcher *m, size_t pos, uint32_t cp) { return pos < m->end && CHAR_CP(m->c[pos]) == cp; }

/* Where the run of the set from pos on ends, after at most max characters (0: no limit). */
static size_t run_end(const matcher *m, const pre_set *s, size_t pos, size_t max) {
    size_t end = max && max < m->end - pos ? pos + max : m->end;
    while (pos < end && in_set(s, m->c[pos])) pos++;
    return pos;
}

/* ---- rules: each gives the end of its match from pos on, or pos ------------------------------------- */

static size_t match_suffix(const matcher *m, size_t pos, pre_suffix suffix) {
    if (suffix == SUFFIX_NONE || !is(m, pos, '\'') || pos + 1 >= m->end) return pos;
    uint32_t fold = suffix == SUFFIX_ANY_CASE ? 0x20 : 0; /* for ASCII letters; no other one maps to those below */
    uint32_t a = CHAR_CP(m->c[pos + 1]) | fold, b = pos + 2 < m->end ? CHAR_CP(m->c[pos + 2]) | fold : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return pos + 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return pos + 3;
    return pos;
}

static size_t match_run_body(const matcher *m, size_t pos, const pre_rule *r) {
    size_t to = run_end(m, r->body, pos, r->max);
    return to - pos < MAX(r->min, 1) ? pos : to;
}

/* Capitals (the body set, which has what is no small letter) and then small letters (the tail set, what is no capital).
 * Letters without case are in both. A run of capitals that no small letter follows gives back, to end on a caseless
 * letter where it has one. */
static size_t match_cased_body(const matcher *m, size_t pos, const pre_rule *r) {
    size_t capitals = run_end(m, r->body, pos, 0), small = run_end(m, r->tail, capitals, 0);
    if (small > capitals) return small;
    while (capitals > pos && !in_set(r->tail, m->c[capitals - 1])) capitals--;
    return capitals;
}

static size_t match_phrase_body(const matcher *m, size_t pos) {
    size_t to = pos;
    while (to < m->end) {
        size_t letter = to + (to > pos && is(m, to, ' '));
        if (letter >= m->end || !in_set(&tok_pre_letter, m->c[letter])) break;
        to = run_end(m, &tok_pre_mark, letter + 1, 0);
    }
    return to;
}

static size_t match_body(const matcher *m, size_t pos, const pre_rule *r) {
    switch (r->kind) {
    case RULE_CASED: return match_cased_body(m, pos, r);
    case RULE_PHRASE: return match_phrase_body(m, pos);
    default: return match_run_body(m, pos, r);
    }
}

/* The lead goes first: a character that could be both is the lead unless the body then fails. */
static size_t match_word(const matcher *m, size_t pos, const pre_rule *r) {
    size_t to = pos, body = pos + 1;
    if (r->lead && in_set(r->lead, m->c[pos]) && body < m->end) to = match_body(m, body, r);
    if (to <= body) {
        if (r->lead_needed) return pos;
        body = pos;
        to = match_body(m, pos, r);
        if (to == body) return pos;
    }
    if (r->kind == RULE_RUN && r->tail) to = run_end(m, r->tail, to, r->tail_max);
    return match_suffix(m, to, (pre_suffix)r->suffix);
}

static void measure_space(matcher *m, size_t pos) {
    if (pos >= m->space_from && pos < m->space_to) return;
    m->space_from = m->space_to = pos;
    m->newline_to = 0;
    for (; m->space_to < m->end && in_set(&tok_pre_space, m->c[m->space_to]); m->space_to++)
        if (is(m, m->space_to, '\r') || is(m, m->space_to, '\n')) m->newline_to = m->space_to + 1;
}

static size_t match_space(matcher *m, size_t pos, pre_rule_kind kind) {
    measure_space(m, pos);
    size_t run = m->space_to - pos;
    if (run == 0) return pos;
    if (kind == RULE_NEWLINES) return MAX(m->newline_to, pos);
    if (m->space_to < m->end) run--; /* the last space stays with the word that follows */
    if (kind == RULE_TRAILING) return pos + run;
    for (size_t size = 512; size > 2; size /= 2)
        if (run >= size) return pos + size;
    return pos + MAX(MIN(run, 2), 1);
}

static size_t match_text(const matcher *m, size_t pos, const char *text) {
    size_t at = pos;
    for (; *text; text++, at++)
        if (!is(m, at, (uint32_t)*text)) return pos;
    return at;
}

static size_t match_sentinel(const matcher *m, size_t pos) {
    size_t at = match_text(m, pos, "<sentinel:"), digits = at;
    while (at > pos && at < m->end && CHAR_CP(m->c[at]) - '0' < 10) at++;
    return at > digits && is(m, at, '>') ? at + 1 : pos;
}

static size_t match_image(const matcher *m, size_t pos) {
    size_t at = match_text(m, pos, "IMGIMG"), letters = at;
    while (at > pos && at < m->end && at < letters + 4 && CHAR_CP(m->c[at]) - 'A' < 9) at++;
    return at > letters && is(m, at, 'Z') ? at + 1 : pos;
}

static size_t match_indent(const matcher *m, size_t pos) {
    if (is(m, pos, '\t') || is(m, pos, '\n')) return pos + 1;
    size_t four = match_text(m, pos, "    ");
    return four > pos ? four : match_text(m, pos, "  ");
}

static size_t match(matcher *m, size_t pos, const pre_rule *rules) {
    for (const pre_rule *r = rules; r->kind != RULE_END; r++) {
        size_t to = pos;
        switch ((pre_rule_kind)r->kind) {
        case RULE_RUN:
        case RULE_CASED:
        case RULE_PHRASE: to = match_word(m, pos, r); break;
        case RULE_SUFFIX: to = match_suffix(m, pos, (pre_suffix)r->suffix); break;
        case RULE_NEWLINES:
        case RULE_TRAILING:
        case RULE_HALVES: to = match_space(m, pos, (pre_rule_kind)r->kind); break;
        case RULE_SENTINEL: to = match_sentinel(m, pos); break;
        case RULE_IMAGE: to = match_image(m, pos); break;
        case RULE_INDENT: to = match_indent(m, pos); break;
        case RULE_END: break;
        }
        if (to > pos) return to;
    }
    return pos;
}

/* ---- passes: each marks where words begin within chars[from, to) ------------------------------------- */

static void pass_rules(uint32_t *chars, size_t from, size_t to, const pre_rule *rules, tok_work *w) {
    matcher m = {.c = chars, .end = to};
    for (size_t pos = from; pos < to && !tok_stopped(w);) {
        size_t end = match(&m, pos, rules);
        if (end > pos) {
            chars[pos] |= CHAR_BEGINS;
            if (end < to) chars[end] |= CHAR_BEGINS;
        }
        pos = MAX(end, pos + 1);
    }
}

static void pass_digits(uint32_t *chars, size_t from, size_t to) {
    for (size_t pos = from; pos < to; pos++) {
        size_t first = pos;
        while (pos < to && in_set(&tok_pre_number, chars[pos])) pos++;
        if (pos == first) continue;
        size_t group = (pos - first) % 3 ? (pos - first) % 3 : 3;
        for (size_t at = first + group; at <= pos && at < to; at += 3) chars[at] |= CHAR_BEGINS;
    }
}

static void pass_thousands(uint32_t *chars, size_t from, size_t to) {
    for (size_t pos = from; pos < to; pos++) {
        size_t first = pos;
        while (pos < to && CHAR_CP(chars[pos]) - '0' < 10) pos++;
        for (size_t at = first + (pos - first) % 3; at < pos; at += 3) chars[at] |= CHAR_BEGINS;
    }
}

static void pass_end_space(uint32_t *chars, size_t from, size_t to) {
    size_t at = to;
    while (at > from && in_set(&tok_pre_space, chars[at - 1])) at--;
    if (at < to) chars[at] |= CHAR_BEGINS;
}

size_t tok_pre_split(const tok_pre *p, str text, uint32_t *chars, tok_work *w) {
    size_t n = 0;
    for (size_t at = 0, len; at < text.len; at += len) {
        uint32_t cp = tok_get_cp(text.ptr + at, text.len - at, &len);
        chars[n++] = cp < 128 ? cp : cp | (uint32_t)uni_class_of(cp) << 21;
    }
    if (n) chars[0] |= CHAR_BEGINS;
    for (const pre_pass *pass = p->passes; pass->kind != PASS_END; pass++) {
        for (size_t from = 0, to; from < n; from = to) {
            for (to = from + 1; to < n && !(chars[to] & CHAR_BEGINS);) to++;
            switch ((pre_pass_kind)pass->kind) {
            case PASS_RULES: pass_rules(chars, from, to, pass->rules, w); break;
            case PASS_DIGITS: pass_digits(chars, from, to); break;
            case PASS_THOUSANDS: pass_thousands(chars, from, to); break;
            case PASS_END_SPACE: pass_end_space(chars, from, to); break;
            case PASS_END: break;
            }
        }
    }
    return n;
}

/* ---- by name ------------------------------------------------------------------------------------------ */

const tok_pre *tok_pre_find(str name) {
    for (size_t i = 0; i < tok_pre_count; i++)
        if (str_is(name, tok_pres[i].name)) return &tok_pres[i];
    return NULL;
}

uint32_t tok_pre_flags(const tok_pre *p) { return p->flags; }
const char *tok_pre_title(const tok_pre *p) { return p->name; }
