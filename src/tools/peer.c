/* peer.c: the command lines of `leat bench --vs`. What a bench prints is read by the rules of peer.h, so that any bench
 * will do that says its unit. Next: bench.c, which takes turns with it.
 */
#include "tools/peer.h"

#define PRINTED_MAX ((size_t)256 << 10)
#define LINE_MAX 8192
#define WORD_MAX 256 /* no number is longer */

/* ---- finding the speed ------------------------------------------------------------------------------------ */

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static bool has_digit(str s) {
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] >= '0' && s.ptr[i] <= '9') return true;
    return false;
}

/* Where one of the signs between a speed and its deviation stands, or SIZE_MAX. */
static size_t deviation_at(str s) {
    static const str signs[] = {{"±", sizeof "±" - 1}, {"+-", 2}, {"+/-", 3}};
    size_t at = SIZE_MAX;
    for (size_t i = 0; i < COUNT_OF(signs) && at == SIZE_MAX; i++) at = str_find(s, signs[i]);
    return at;
}

static str unquoted(str s) {
    s = str_trim(s);
    return s.len > 1 && s.ptr[0] == '"' ? str_trim(str_cut(s, 1, s.len - 2)) : s;
}

/* Those below find the text of a speed, whatever it is, the last one; this says whether it is one. */
static bool speed_of(str s, double *out) {
    double v;
    if (!parse_f64(str_trim(str_cut(s, 0, deviation_at(s))), &v) || !(v > 1e-6 && v < 1e12)) return false;
    *out = v; /* so that ratios are numbers */
    return true;
}

static bool in_json(str s, str *speed) {
    static const str fields[] = {{"\"avg_ts\"", 8}, {"\"tok_s\"", 7}};
    bool found = false;
    for (size_t i = 0; i < COUNT_OF(fields) && !found; i++) {
        str rest = s;
        for (size_t at; (at = str_find(rest, fields[i])) != SIZE_MAX;) {
            rest = str_trim(str_cut(rest, at + fields[i].len, rest.len));
            if (!str_starts(rest, STR(":"))) continue;
            str value = str_trim(str_cut(rest, 1, rest.len));
            bool quoted = str_starts(value, STR("\""));
            char end = quoted ? '"' : ',', other = quoted ? '"' : '}';
            size_t n = quoted;
            while (n < MIN(value.len, (size_t)WORD_MAX) && value.ptr[n] != end && value.ptr[n] != other) n++;
            *speed = unquoted(str_cut(value, 0, n + quoted));
            found = true;
        }
    }
    return found;
}

static str next_line(str *rest) {
    size_t n = 0;
    while (n < rest->len && rest->ptr[n] != '\n') n++;
    str line = str_cut(*rest, 0, n);
    *rest = str_cut(*rest, n + 1, rest->len);
    return line;
}

static str next_cell(str *rest, char between) {
    size_t n = 0;
    for (bool quoted = false; n < rest->len && (quoted || rest->ptr[n] != between); n++)
        if (rest->ptr[n] == '"' && between == ',') quoted = !quoted;
    str cell = str_cut(*rest, 0, n);
    *rest = str_cut(*rest, n + 1, rest->len);
    return cell;
}

/* A heading with one of two names, then rows; of one with more cells than the heading nobody knows which is which. A
 * line with a space after its commas, where the heading has none, is prose. */
static bool in_columns(str s, char between, const char *a, const char *b, str *speed) {
    size_t wanted = SIZE_MAX, n_head = 0;
    bool found = false, spaced = between == '|';
    while (s.len) {
        str line = str_trim(next_line(&s)), rest = line, cell = {0}, seen = {0};
        size_t n = 0, head = SIZE_MAX;
        bool space = spaced;
        for (; rest.len; n++) {
            space |= n && is_space(rest.ptr[0]);
            cell = unquoted(next_cell(&rest, between));
            if (str_is(cell, a) || str_is(cell, b)) head = n;
            if (n == wanted) seen = cell;
        }
        if (head != SIZE_MAX) wanted = head, n_head = n, spaced = space;
        else if (space == spaced && has_digit(seen) && n + 1 >= n_head) *speed = n > n_head ? line : seen, found = true;
    }
    return found;
}

static bool parts_words(char c) { return is_space(c) || c == '(' || c == '[' || c == '=' || c == ':' || c == '|'; }

static size_t word_before(str s, size_t at) {
    while (at && is_space(s.ptr[at - 1])) at--;
    while (at && !parts_words(s.ptr[at - 1])) at--;
    return at;
}

/* "1 234" and "- 5": one number, though not a plain one, and not its second half. */
static bool belong_together(str before, str word) {
    str sign = str_trim(before);
    size_t n = 0;
    uint64_t thousands;
    while (n < word.len && word.ptr[n] >= '0' && word.ptr[n] <= '9') n++;
    if (str_is(sign, "-")) return true;
    return n == 3 && sign.len <= 3 && before.len == sign.len + 1 && parse_u64(sign, &thousands);
}

/* The word that s ends with; a deviation comes with what it belongs to. Signs and commas are part of a word, so that
 * what is no plain number is not taken for one by its end. */
static str last_word(str s) {
    s = str_cut(s, s.len - MIN(s.len, (size_t)WORD_MAX), s.len);
    size_t from = word_before(s, s.len);
    for (size_t before; (before = word_before(s, from)) != from; from = before)
        if (deviation_at(str_cut(s, before, from - before)) == SIZE_MAX && deviation_at(str_cut(s, from, s.len)) &&
            !belong_together(str_cut(s, before, from - before), str_cut(s, from, s.len)))
            break;
    return str_trim(str_cut(s, from, s.len));
}

/* Of the last line that has one. Two in a line that differ: all of it, which is no number. */
static bool before_unit(str s, str *speed) {
    static const str units[] = {{"tok/s", 5}, {"t/s", 3}, {"tokens/s", 8}, {"tokens per second", 17}};
    bool found = false;
    while (s.len) {
        str line = str_trim(next_line(&s)), seen = {0};
        for (size_t at = 0; at < line.len; at++) {
            for (size_t i = 0; i < COUNT_OF(units); i++) {
                if (!str_starts(str_cut(line, at, line.len), units[i])) continue;
                str word = last_word(str_cut(line, 0, at));
                if (!has_digit(word)) continue;
                *speed = seen.len && !str_eq(seen, word) ? line : word;
                seen = *speed;
                found = true;
            }
        }
    }
    return found;
}

bool peer_speed(str printed, str *speed, double *tok_s) {
    *speed = (str){0};
    return (in_json(printed, speed) || in_columns(printed, ',', "avg_ts", "tok_s", speed) ||
            in_columns(printed, '|', "t/s", "tok/s", speed) || before_unit(printed, speed)) &&
           speed_of(*speed, tok_s);
}

/* ---- running it --------------------------------------------------------------------------------------------- */

peer peer_of(const char *option) {
    peer p = {.line = option};
    str all = str_of(option);
    size_t n = 0;
    while (n < all.len && !is_space(all.ptr[n]) && all.ptr[n] != '/') n++;
    if (n > 1 && all.ptr[n - 1] == ':') { /* no command's name ends so */
        fmt(p.name, sizeof p.name, "%.*s", (int)(n - 1), option);
        p.line = option + n;
        return p;
    }
    size_t from = 0;
    for (n = 0; n < all.len && !is_space(all.ptr[n]); n++)
        if (all.ptr[n] == '/') from = n + 1;
    fmt(p.name, sizeof p.name, "%.*s", (int)(n - from), option + from);
    return p;
}

/* As one word of a shell. */
static size_t put_quoted(char *to, size_t cap, const char *word) {
    size_t n = fmt(to, cap, "'");
    for (; *word; word++) n += fmt(to + n, cap - n, *word == '\'' ? "'\\''" : "%c", *word);
    return n + fmt(to + n, cap - n, "'");
}

static bool fill_in(const char *line, const peer_test *test, char *to, size_t cap) {
    const struct {
        str word;
        int32_t value;
    } words[] = {{STR("{threads}"), test->n_threads}, {STR("{n_prompt}"), test->n_prompt},
                 {STR("{n_gen}"), test->n_gen}, {STR("{depth}"), test->n_depth}};
    size_t n = 0;
    for (str rest = str_of(line); rest.len && n + 1 < cap;) {
        size_t used = 0;
        if (str_starts(rest, STR("{file}"))) {
            n += put_quoted(to + n, cap - n, test->file);
            used = 6;
        }
        for (size_t i = 0; i < COUNT_OF(words) && !used; i++) {
            if (!str_starts(rest, words[i].word)) continue;
            n += fmt(to + n, cap - n, "%d", words[i].value);
            used = words[i].word.len;
        }
        if (!used) {
            to[n++] = rest.ptr[0];
            used = 1;
        }
        rest = str_cut(rest, used, rest.len);
    }
    to[n] = 0;
    return n + 1 < cap;
}

static err_code judge(const peer *p, int code, const plat_ran *ran, str printed, double *tok_s, err *e) {
    int n = (int)MIN(printed.len, (size_t)80);
    const char *colon = ran->said[0] ? ": " : "";
    if (code) return ERR(e, ERR_IO, "%s: the command did not run: %s", p->name, plat_error_name(code));
    if (ran->timed_out)
        return ERR(e, ERR_IO, "%s: the command took longer than --vs-limit allows%s%.120s", p->name, colon, ran->said);
    if (ran->status)
        return ERR(e, ERR_IO, "%s: the command ended with status %d%s%.120s", p->name, ran->status, colon, ran->said);
    if (!printed.len) return ERR(e, ERR_IO, "%s: the command printed nothing%s%.120s", p->name, colon, ran->said);
    str seen;
    if (peer_speed(printed, &seen, tok_s)) return ERR_NONE;
    if (seen.len)
        return ERR(e, ERR_IO, "%s: the command printed '%.*s' for tokens a second, wanted one plain number, 1234.5",
                   p->name, (int)MIN(seen.len, (size_t)80), seen.ptr);
    return ERR(e, ERR_IO, "%s: no tokens a second in what the command printed: %.*s", p->name, n, printed.ptr);
}

err_code peer_run(const peer *p, const peer_test *test, uint64_t limit_ns, double *tok_s, err *e) {
    char line[LINE_MAX];
    plat_ran ran;
    if (!fill_in(p->line, test, line, sizeof line))
        return ERR(e, ERR_ARGUMENT, "%s: the command line is longer than %d bytes", p->name, LINE_MAX - 1);
    char *printed = mem_block(MEM_TOOLS, PRINTED_MAX);
    if (!printed) return ERR(e, ERR_MEMORY, "no memory for what %s prints", p->name);
    int code = plat_command(line, limit_ns, printed, PRINTED_MAX, &ran);
    str all = {printed, ran.bytes}, rest = all;
    next_line(&rest); /* what is left of a line that was cut may be the end of a number */
    err_code result = judge(p, code, &ran, ran.cut && rest.len ? rest : all, tok_s, e);
    mem_block_free(printed);
    return result;
}
