/* peer.c: the command lines of `leat bench --vs`. What a bench prints is read by the rules of peer.h, so that any bench
 * will do that says its unit. Next: bench.c, which takes turns with it.
 */
#include "tools/peer.h"

#define PRINTED_MAX ((size_t)256 << 10)
#define LINE_MAX 8192

/* ---- finding the speed ------------------------------------------------------------------------------------ */

static bool is_number_byte(char c) { return (c >= '0' && c <= '9') || c == '.' || c == 'e' || c == 'E'; }
static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static bool speed_of(str number, double *out) {
    return parse_f64(number, out) && *out > 1e-6 && *out < 1e12; /* so that ratios are numbers */
}

/* The number that a cell begins with. */
static bool first_number(str s, double *out) {
    s = str_trim(s);
    if (s.len > 1 && s.ptr[0] == '"') s = str_trim(str_cut(s, 1, s.len - 2));
    size_t n = 0;
    while (n < s.len && is_number_byte(s.ptr[n])) n++;
    return speed_of(str_cut(s, 0, n), out);
}

/* The number that s ends with; of "20 ± 3" the 20. */
static bool last_number(str s, double *out) {
    static const str signs[] = {{"±", sizeof "±" - 1}, {"+-", 2}, {"+/-", 3}};
    for (bool again = true;;) {
        s = str_trim(s);
        size_t from = s.len;
        while (from && is_number_byte(s.ptr[from - 1])) from--;
        str number = str_cut(s, from, s.len), before = str_trim(str_cut(s, 0, from));
        bool deviation = false;
        for (size_t i = 0; i < COUNT_OF(signs) && again && !deviation; i++)
            if ((deviation = str_ends(before, signs[i]))) before.len -= signs[i].len;
        if (!deviation || !number.len) return (!from || s.ptr[from - 1] != '-') && speed_of(number, out);
        s = before;
        again = false;
    }
}

static bool in_json(str s, double *out) {
    static const str fields[] = {{"\"avg_ts\"", 8}, {"\"tok_s\"", 7}};
    bool found = false;
    for (size_t i = 0; i < COUNT_OF(fields) && !found; i++) {
        str rest = s;
        for (size_t at; (at = str_find(rest, fields[i])) != SIZE_MAX;) {
            rest = str_trim(str_cut(rest, at + fields[i].len, rest.len));
            if (str_starts(rest, STR(":")) && first_number(str_cut(rest, 1, rest.len), out)) found = true;
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

/* A heading with one of two names, then rows. */
static bool in_columns(str s, char between, const char *a, const char *b, double *out) {
    size_t wanted = SIZE_MAX;
    bool found = false;
    while (s.len) {
        str line = str_trim(next_line(&s));
        for (size_t i = 0; line.len; i++) {
            str cell = str_trim(next_cell(&line, between));
            if (cell.len > 1 && cell.ptr[0] == '"') cell = str_cut(cell, 1, cell.len - 2);
            if (str_is(cell, a) || str_is(cell, b)) wanted = i;
            else if (i == wanted && first_number(cell, out)) found = true;
        }
    }
    return found;
}

static bool before_unit(str s, double *out) {
    static const str units[] = {{"tok/s", 5}, {"t/s", 3}, {"tokens/s", 8}, {"tokens per second", 17}};
    for (size_t at = s.len; at-- > 0;) {
        for (size_t i = 0; i < COUNT_OF(units); i++)
            if (str_starts(str_cut(s, at, s.len), units[i]) && last_number(str_cut(s, 0, at), out)) return true;
    }
    return false;
}

bool peer_speed(str printed, double *tok_s) {
    double found = 0;
    if (!in_json(printed, &found) && !in_columns(printed, ',', "avg_ts", "tok_s", &found) &&
        !in_columns(printed, '|', "t/s", "tok/s", &found) && !before_unit(printed, &found))
        return false;
    *tok_s = found;
    return true;
}

/* ---- running it --------------------------------------------------------------------------------------------- */

peer peer_of(const char *option) {
    peer p = {.line = option};
    str all = str_of(option);
    size_t n = 0;
    while (n < all.len && !is_space(all.ptr[n]) && all.ptr[n] != '/') n++;
    if (n > 1 && n < all.len && all.ptr[n - 1] == ':') { /* no command's name ends so */
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
    if (!peer_speed(printed, tok_s))
        return ERR(e, ERR_IO, "%s: no tokens a second in what the command printed: %.*s", p->name, n, printed.ptr);
    return ERR_NONE;
}

err_code peer_run(const peer *p, const peer_test *test, uint64_t limit_ns, double *tok_s, err *e) {
    char line[LINE_MAX];
    plat_ran ran;
    if (!fill_in(p->line, test, line, sizeof line))
        return ERR(e, ERR_ARGUMENT, "%s: the command line is longer than %d bytes", p->name, LINE_MAX - 1);
    char *printed = mem_block(MEM_TOOLS, PRINTED_MAX);
    if (!printed) return ERR(e, ERR_MEMORY, "no memory for what %s prints", p->name);
    int code = plat_command(line, limit_ns, printed, PRINTED_MAX, &ran);
    err_code result = judge(p, code, &ran, (str){printed, ran.bytes}, tok_s, e);
    mem_block_free(printed);
    return result;
}
