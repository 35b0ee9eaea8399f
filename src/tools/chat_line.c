/* chat_line.c: a line editor. The text is one buffer; what a key does to it is one switch, and after each burst of keys
 * the rows that it takes on the terminal are drawn anew. Rows are cut here, a cell short of the terminal's width, so
 * that no terminal wraps by itself. A terminal that obeys no cursor movements edits and echoes its lines itself: there
 * whole lines are read. Next: chat_talk.c.
 */
#include "tools/chat_line.h"
#include "uni/uni.h"

#define TEXT_BYTES_MAX ((size_t)4 << 20)
#define HISTORY_BYTES_MAX ((size_t)1 << 20)
#define HISTORY_LINE_MAX ((size_t)64 << 10) /* longer ones, which were pasted, are kept while the chat lasts only */
#define HISTORY_MAX 1000
#define INDENT 2              /* cells of the prompt, and before rows that go on */
#define RESIZE_NS 200000000u  /* between two looks at the terminal's width */
#define ESCAPE_NS 200000000u  /* an escape key alone sends nothing more */
#define QUOTES STR("\"\"\"")

struct line {
    tools *t;
    arena memory;
    char *text; /* (TEXT_BYTES_MAX) */
    size_t bytes, at;
    const char *prompt;
    const yield_hook *idle;
    bool colours, pasting, done;
    bool plain; /* see plat_terminal_dumb */
    line_result result;
    int columns;                     /* as drawn */
    size_t drawn_row, drawn_column;  /* of the cursor */
    uint8_t keys[512]; /* read and not yet used */
    size_t keys_at, keys_bytes;
    char path[512]; /* of the history, or "" */
    char *past[HISTORY_MAX];
    size_t n_past, past_at;
    char *cut; /* what Ctrl-K and others removed last (TEXT_BYTES_MAX) */
    size_t cut_bytes;
};

str chat_line_text(const line *l) { return (str){l->text, l->bytes}; }

/* ---- history: a line of the file each, with \n and \\ for line ends and backslashes ----------------------- */

static void remember(line *l, str s) {
    if (!s.len || (l->n_past && str_is(s, l->past[l->n_past - 1]))) return;
    char *copy = arena_copy(&l->memory, s);
    if (!copy) return; /* a history that is full forgets nothing and learns nothing more */
    if (l->n_past == HISTORY_MAX) {
        memmove(l->past, l->past + 1, (HISTORY_MAX - 1) * sizeof *l->past);
        l->n_past--;
    }
    l->past[l->n_past++] = copy;
}

static void load_history(line *l) {
    tools_text file;
    if (!l->path[0] || tools_text_open(&file, l->path, NULL)) return;
    size_t n = 0;
    for (size_t i = 0; i < MIN(file.bytes, HISTORY_BYTES_MAX); i++) {
        char c = file.data[i];
        if (c == '\n') {
            remember(l, (str){l->text, n});
            n = 0;
        } else if (c != 0) {
            bool escaped = c == '\\' && i + 1 < file.bytes;
            if (escaped) c = file.data[++i] == 'n' ? '\n' : file.data[i];
            l->text[n++] = c;
        }
    }
    remember(l, (str){l->text, n});
    tools_text_close(&file);
}

/* Behind the last lines of the file as it is now, which another chat may have written. Best effort: what cannot be kept
 * is not worth a word, but what is there and cannot be read stays. */
static void save_line(line *l, str s) {
    plat_out *out;
    tools_text old;
    uint64_t id[2];
    if (!l->path[0] || s.len > HISTORY_LINE_MAX || plat_out_create(&out, l->path, true)) return;
    bool unread = tools_text_open(&old, l->path, NULL) && plat_file_id(l->path, id) != PLAT_NOT_FOUND;
    int status = unread ? PLAT_IO_ERROR : PLAT_OK;
    size_t end = old.bytes, n = 0, mark = arena_mark(&l->memory), from = end, lines = 0;
    for (size_t at = end; lines < HISTORY_MAX && end - at < HISTORY_BYTES_MAX / 2; at--) {
        if (!at || old.data[at - 1] == '\n') from = at, lines++;
        if (!at) break;
    }
    char *escaped = arena_alloc(&l->memory, 2 * s.len + 1, 1);
    for (size_t i = 0; escaped && i < s.len; i++) {
        if (s.ptr[i] == '\n' || s.ptr[i] == '\\') escaped[n++] = '\\';
        escaped[n++] = s.ptr[i] == '\n' ? 'n' : s.ptr[i];
    }
    if (escaped) escaped[n++] = '\n';
    bool again = n <= end && str_eq((str){old.data + end - n, n}, (str){escaped, n}); /* or no memory */
    if (!status && again && (n == end || old.data[end - n - 1] == '\n')) status = PLAT_EXISTS;
    if (!status) status = plat_out_write(out, old.data + from, end - from);
    bool ends = !end || old.data[end - 1] == '\n'; /* somebody's editor may have left that out */
    if (!status && !ends) status = plat_out_write(out, "\n", 1);
    if (!status) status = plat_out_write(out, escaped, n);
    plat_out_settle(out, status);
    arena_reset(&l->memory, mark);
    tools_text_close(&old);
}

err_code chat_line_open(line **out, tools *t, const char *history, bool colours, err *e) {
    arena memory;
    *out = NULL;
    err_code code = arena_open(&memory, MEM_TOOLS, 4 * TEXT_BYTES_MAX, e);
    if (code) return code;
    line *l = arena_alloc(&memory, sizeof *l, 64);
    char *text = arena_alloc(&memory, TEXT_BYTES_MAX, 1), *removed = arena_alloc(&memory, TEXT_BYTES_MAX, 1);
    if (!l || !text || !removed) {
        arena_close(&memory);
        return ERR(e, ERR_MEMORY, "no memory for a line of text");
    }
    *l = (line){.t = t, .memory = memory, .text = text, .cut = removed, .colours = colours,
                .plain = plat_terminal_dumb()};
    if (history && !plat_state_path(history, l->path, sizeof l->path)) l->path[0] = 0;
    load_history(l);
    /* What is typed while the model is opened belongs to the first line. */
    if (!l->plain) plat_terminal_keys(PLAT_KEYS_SIGNAL);
    *out = l;
    return ERR_NONE;
}

void chat_line_close(line *l) {
    if (!l) return;
    plat_terminal_keys(PLAT_KEYS_LINES);
    arena memory = l->memory;
    arena_close(&memory);
}

/* ---- rows ------------------------------------------------------------------------------------------------- */

static uint32_t character(const line *l, size_t at, size_t *len) {
    return utf8_decode(l->text + at, l->bytes - at, len);
}
static int cells(uint32_t cp) { return cp == '\t' ? 2 : cp == UTF8_INVALID ? 1 : uni_width(cp); }

/* The row that begins at `from`: where the next one begins, or SIZE_MAX after the last. *end: where its text ends. */
static size_t row_end(const line *l, size_t from, size_t *end) {
    int used = INDENT, room = MAX(l->columns - 1, INDENT + 2);
    size_t at = from, len;
    for (; at < l->bytes; at += len) {
        uint32_t cp = character(l, at, &len);
        *end = at;
        if (cp == '\n') return at + 1;
        used += cells(cp);
        if (used > room) return at;
    }
    *end = at;
    return SIZE_MAX;
}

static size_t column_of(const line *l, size_t from, size_t at) {
    size_t column = INDENT, len;
    for (; from < at; from += len) column += (size_t)cells(character(l, from, &len));
    return column;
}

/* The row and its beginning that hold the cursor. */
static size_t cursor_row(const line *l, size_t *begin) {
    size_t row = 0, end;
    *begin = 0;
    for (size_t next; (next = row_end(l, *begin, &end)) != SIZE_MAX && next <= l->at; row++) *begin = next;
    return row;
}

static void put_row(line *l, size_t from, size_t end) {
    size_t len;
    for (; from < end; from += len) {
        uint32_t cp = character(l, from, &len);
        if (cp == '\t') tools_out(l->t, "  ");
        else if (cp == UTF8_INVALID) tools_out(l->t, "?");
        else if (uni_width(cp) || cp > 0xA0) tools_out_bytes(l->t, l->text + from, len);
    }
}

static void up(line *l, size_t n) {
    if (n) tools_out(l->t, "\33[%zuA", n);
}

/* A terminal that became narrower has wrapped the rows that were drawn. */
static void count_wrapped(line *l, size_t columns) {
    size_t from = 0, end, next;
    for (; (next = row_end(l, from, &end)) != SIZE_MAX && next <= l->at; from = next)
        l->drawn_row += (column_of(l, from, end) - 1) / columns;
    l->drawn_row += l->drawn_column / columns;
}

/* Rows that do not fit on the screen are left out above and below the cursor's. last: the cursor goes to the end. */
static void draw(line *l, bool last) {
    if (l->plain) return;
    int columns = plat_terminal_columns();
    size_t rows_max = (size_t)MAX(plat_terminal_rows() - 1, 1), begin, end, row = 0;
    if (columns < l->columns) count_wrapped(l, (size_t)columns);
    up(l, l->drawn_row);
    l->columns = columns;
    if (last) l->at = l->bytes;
    size_t cursor = cursor_row(l, &begin), first = cursor >= rows_max ? cursor - rows_max + 1 : 0, from = 0, drawn = 0;
    l->drawn_column = column_of(l, begin, l->at);
    tools_out(l->t, "\r\33[J");
    for (;; row++) {
        size_t next = row_end(l, from, &end);
        if (row >= first && drawn < rows_max) {
            if (drawn++) tools_out(l->t, "\r\n");
            if (row) tools_out(l->t, "  ");
            else if (l->colours) tools_out(l->t, "\33[1m%s\33[0m", l->prompt);
            else tools_out(l->t, "%s", l->prompt);
            put_row(l, from, end);
        }
        if (next == SIZE_MAX) break;
        from = next;
    }
    l->drawn_row = cursor - first;
    up(l, drawn - 1 - l->drawn_row);
    tools_out(l->t, "\r\33[%zuC", l->drawn_column);
    tools_out_flush(l->t);
}

/* ---- keys ------------------------------------------------------------------------------------------------- */

static bool insert(line *l, const char *bytes, size_t n) {
    if (n > TEXT_BYTES_MAX - 4 - l->bytes) return false;
    memmove(l->text + l->at + n, l->text + l->at, l->bytes - l->at);
    memcpy(l->text + l->at, bytes, n);
    l->at += n;
    l->bytes += n;
    return true;
}

static void set_text(line *l, const char *text) {
    l->bytes = l->at = 0;
    insert(l, text, cstr_len(text));
}

/* The next or previous border between characters that are seen as one. */
static size_t right_of(const line *l, size_t at) {
    size_t len;
    if (at == l->bytes) return at;
    character(l, at, &len);
    for (at += len; at < l->bytes; at += len) {
        uint32_t cp = character(l, at, &len);
        if (cp < 0x300 || cp == UTF8_INVALID || uni_width(cp)) break;
    }
    return at;
}
static size_t left_of(const line *l, size_t at) {
    size_t before = 0;
    for (size_t i = at > 64 ? at - 64 : 0; i < at; i = right_of(l, i)) {
        while (i < at && ((uint8_t)l->text[i] & 0xC0) == 0x80) i++; /* begun inside a character */
        if (i < at) before = i;
    }
    return before;
}

static bool in_word(const line *l, size_t at) {
    size_t len;
    uint32_t cp = character(l, at, &len);
    uni_class c = cp == UTF8_INVALID ? UNI_LETTER : uni_class_of(cp);
    return c == UNI_LETTER || c == UNI_NUMBER || c == UNI_MARK;
}
static size_t word_right(const line *l, size_t at) {
    while (at < l->bytes && !in_word(l, at)) at = right_of(l, at);
    while (at < l->bytes && in_word(l, at)) at = right_of(l, at);
    return at;
}
static size_t word_left(const line *l, size_t at) {
    while (at && !in_word(l, left_of(l, at))) at = left_of(l, at);
    while (at && in_word(l, left_of(l, at))) at = left_of(l, at);
    return at;
}

static void cut(line *l, size_t from, size_t to, bool keep) {
    if (keep && to > from) memcpy(l->cut, l->text + from, l->cut_bytes = to - from);
    memmove(l->text + from, l->text + to, l->bytes - to);
    l->bytes -= to - from;
    l->at = from;
}

static size_t line_begin(const line *l) {
    size_t at = l->at;
    while (at && l->text[at - 1] != '\n') at--;
    return at;
}
static size_t line_end(const line *l) {
    size_t at = l->at;
    while (at < l->bytes && l->text[at] != '\n') at++;
    return at;
}

/* A row up or down; past the first and the last one, through the history. What was typed there is forgotten only when
 * Enter takes another line. */
static void vertical(line *l, bool down) {
    size_t begin, end, row = cursor_row(l, &begin), next = row_end(l, begin, &end), column = column_of(l, begin, l->at);
    if (down ? next == SIZE_MAX : row == 0) {
        if (down ? l->past_at >= l->n_past : l->past_at == 0) return;
        if (l->past_at == l->n_past) remember(l, chat_line_text(l)), l->past_at = MIN(l->past_at, l->n_past);
        l->past_at = down ? l->past_at + 1 : l->past_at - 1;
        set_text(l, l->past_at < l->n_past ? l->past[l->past_at] : "");
        return;
    }
    if (!down) {
        size_t from = 0;
        for (size_t i = 0; i + 1 < row; i++) from = row_end(l, from, &end);
        next = from;
    }
    row_end(l, next, &end);
    for (l->at = next; l->at < end && column_of(l, next, right_of(l, l->at)) <= column;) l->at = right_of(l, l->at);
}

/* Enter ends the text, but for a backslash before it and inside of """. */
static void enter(line *l) {
    str s = chat_line_text(l);
    bool quoted = str_starts(s, QUOTES) && !(s.len >= 6 && str_ends(s, QUOTES));
    if (!l->pasting && l->at == l->bytes && !quoted && str_ends(s, STR("\\"))) l->text[l->bytes - 1] = '\n';
    else if (l->pasting || quoted) insert(l, "\n", 1);
    else l->done = true;
}

static bool next_key(line *l, uint64_t timeout_ns, uint8_t *key) {
    if (l->keys_at == l->keys_bytes) {
        if (!plat_stdin_ready(timeout_ns)) {
            if (timeout_ns) yield_now(l->idle);
            return false;
        }
        int64_t n = plat_stdin_read(l->keys, sizeof l->keys);
        l->keys_at = 0;
        l->keys_bytes = n > 0 ? (size_t)n : 0;
        if (n == 0) l->done = true, l->result = LINE_END;
        else if (n < 0 && n != PLAT_INTERRUPTED) l->done = true, l->result = LINE_FAILED;
        if (n <= 0) return false;
    }
    *key = l->keys[l->keys_at++];
    return true;
}

/* What follows an escape: CSI or SS3 with numbers, or a key with Alt. */
static void escape(line *l) {
    uint8_t key;
    unsigned numbers[2] = {0, 0}, n = 0;
    if (!next_key(l, ESCAPE_NS, &key)) return;
    if (l->pasting && key != '[') return;
    if (key == 'b') l->at = word_left(l, l->at);
    if (key == 'f') l->at = word_right(l, l->at);
    if (key == 'd') cut(l, l->at, word_right(l, l->at), true);
    if (key == 0x7F) cut(l, word_left(l, l->at), l->at, true);
    if (key == '\r' && insert(l, "\n", 1)) return;
    if (key != '[' && key != 'O') return;
    while (next_key(l, ESCAPE_NS, &key) && key < 0x40) {
        if (key == ';') n = 1;
        else if (key >= '0' && key <= '9' && numbers[n] < 1000) numbers[n] = numbers[n] * 10 + key - '0';
    }
    bool word = numbers[1] == 5 || numbers[1] == 3; /* with Ctrl or Alt */
    if (key == '~' && numbers[0] != 200 && numbers[0] != 201)
        key = numbers[0] == 1 || numbers[0] == 7 ? 'H' : numbers[0] == 4 || numbers[0] == 8 ? 'F'
              : numbers[0] == 3                  ? 'X' : 0;
    if (l->pasting && key != '~') return;
    switch (key) {
    case 'A': vertical(l, false); break;
    case 'B': vertical(l, true); break;
    case 'C': l->at = word ? word_right(l, l->at) : right_of(l, l->at); break;
    case 'D': l->at = word ? word_left(l, l->at) : left_of(l, l->at); break;
    case 'H': l->at = line_begin(l); break;
    case 'F': l->at = line_end(l); break;
    case 'X': cut(l, l->at, right_of(l, l->at), false); break;
    case '~': l->pasting = numbers[0] == 200; break;
    default: break;
    }
}

static void stop(line *l) {
    draw(l, true);
    tools_out(l->t, l->plain ? "\n" : l->bytes ? "^C\r\n" : "\r\n"); /* a plain one has shown the ^C */
    l->done = true;
    l->result = l->bytes ? LINE_CLEARED : LINE_INTERRUPT;
}

#define CTRL(letter) ((letter) & 0x1F)
static void press(line *l, uint8_t key) {
    char byte = (char)key;
    if (l->pasting && (key < 0x20 || key == 0x7F) && key != '\r' && key != '\n' && key != '\t' && key != 0x1B) return;
    switch (key) {
    case '\r':
    case '\n': enter(l); break;
    case 0x1B: escape(l); break;
    case 0x7F:
    case CTRL('H'): cut(l, left_of(l, l->at), l->at, false); break;
    case CTRL('C'): stop(l); break;
    case CTRL('D'):
        if (!l->bytes) l->done = true, l->result = LINE_END;
        else cut(l, l->at, right_of(l, l->at), false);
        break;
    case CTRL('A'): l->at = line_begin(l); break;
    case CTRL('E'): l->at = line_end(l); break;
    case CTRL('B'): l->at = left_of(l, l->at); break;
    case CTRL('F'): l->at = right_of(l, l->at); break;
    case CTRL('P'): vertical(l, false); break;
    case CTRL('N'): vertical(l, true); break;
    case CTRL('K'): cut(l, l->at, line_end(l), true); break;
    case CTRL('U'): cut(l, line_begin(l), l->at, true); break;
    case CTRL('W'): cut(l, word_left(l, l->at), l->at, true); break;
    case CTRL('Y'): insert(l, l->cut, l->cut_bytes); break;
    case CTRL('L'):
        tools_out(l->t, "\33[H\33[2J");
        l->drawn_row = 0;
        break;
    default:
        if (key >= 0x20 || key == '\t') insert(l, &byte, 1);
    }
}

/* Of a terminal that sends whole lines: a line's bytes. */
static void take_byte(line *l, uint8_t key) {
    char byte = (char)key;
    if (key == '\n') enter(l);
    else if (key >= 0x20 || key == '\t') insert(l, &byte, 1);
    if (key != '\n' || l->done) return;
    tools_out(l->t, "  ");
    tools_out_flush(l->t);
}

/* Somebody sent a signal: one that Ctrl-C would be, or one that ends the program. */
static bool signalled(line *l) {
    if (!plat_interrupted()) return false;
    plat_interrupt_clear();
    if (plat_interrupted()) l->done = true, l->result = LINE_END;
    else stop(l);
    return true;
}

static bool stopped(const line *l) { return l->result == LINE_CLEARED || l->result == LINE_INTERRUPT; }

static void read_plain(line *l) {
    uint8_t key;
    tools_out(l->t, "%s", l->prompt);
    tools_out_flush(l->t);
    while (!l->done && !signalled(l))
        if (next_key(l, RESIZE_NS, &key)) take_byte(l, key);
    if (l->result == LINE_END) tools_out(l->t, "\n");
    tools_out_flush(l->t);
}

static void read_keys(line *l) {
    uint8_t key;
    tools_out(l->t, "\33[?2004h"); /* pasted text comes in brackets */
    draw(l, false);
    while (!l->done && !signalled(l)) {
        if (next_key(l, RESIZE_NS, &key)) {
            press(l, key);
            /* A burst is drawn once, a paste of any length when it ends or stops coming. */
            while (!l->done && next_key(l, 0, &key)) press(l, key);
            if (!stopped(l) && (!l->pasting || l->done)) draw(l, l->done && l->result == LINE_OK);
        } else if (l->pasting || plat_terminal_columns() != l->columns) {
            draw(l, false);
        }
    }
    tools_out(l->t, stopped(l) ? "\33[?2004l" : "\33[?2004l\r\n");
    tools_out_flush(l->t);
    if (l->result == LINE_OK) plat_terminal_keys(PLAT_KEYS_SIGNAL);
}

line_result chat_line_read(line *l, const char *prompt, const yield_hook *idle) {
    l->prompt = prompt;
    l->idle = idle;
    l->bytes = l->at = l->drawn_row = 0;
    l->past_at = l->n_past;
    l->pasting = l->done = false;
    l->result = LINE_OK;
    if (!l->plain && plat_terminal_keys(PLAT_KEYS_BYTES)) return LINE_FAILED;
    plat_interrupt_clear(); /* Ctrl-C for an answer that had just ended; SIGTERM stays */
    if (l->plain) read_plain(l);
    else read_keys(l);
    if (l->result == LINE_OK && str_trim(chat_line_text(l)).len) {
        remember(l, chat_line_text(l));
        save_line(l, chat_line_text(l));
    }
    return l->result;
}
