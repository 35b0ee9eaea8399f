/* pty.c: a program on a terminal of COLUMNS x ROWS cells, driven by a script:
 *     pty COLUMNS ROWS SCRIPT COMMAND...
 * A line of the script is a word and what follows it:
 *     type TEXT   sends keys; \r \n \t \e \\ and \xHH are bytes
 *     wait TEXT   until it is written to the screen, after the keys sent last
 *     idle        until the program has taken all keys and waits for more, with Ctrl-C as a key: it reads a line
 *     busy        until Ctrl-C interrupts, and something was written then: it answers
 *     size C R    the terminal has another size; until the program has drawn for it
 *     plain       fails where the program wrote an escape: what a plain terminal would show as garbage
 *     screen      prints what is on it: rows without spaces at their ends, dim text in { }, then a line of dashes
 *     end         waits for the program and prints its status
 * They wait for states, never for durations: a loaded machine only takes longer, up to WAIT_MS, which is a failure.
 * The terminal knows what leat writes: CR, LF, BS, cursor movements, erasing, and SGR 0, 1 and 2.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#define SIDE_MAX 300
#define WAIT_MS 120000

typedef struct cell {
    char bytes[24];
    bool dim, old; /* old: written before the keys that were sent last */
} cell;

static cell screen[SIDE_MAX][SIDE_MAX];
static int columns, rows, row, column, master;
static bool dim, ended, escaped;
static pid_t child;
static char pending[64]; /* an unfinished sequence or character */
static size_t n_pending;

static void print_screen(FILE *to) {
    for (int r = 0; r < rows; r++) {
        int end = columns;
        while (end && (!screen[r][end - 1].bytes[0] || !strcmp(screen[r][end - 1].bytes, " "))) end--;
        bool in = false;
        for (int c = 0; c < end; c++) {
            const cell *x = &screen[r][c];
            if (x->dim != in) fputs((in = x->dim) ? "{" : "}", to);
            fputs(x->bytes[0] == 1 ? "" : x->bytes[0] ? x->bytes : " ", to);
        }
        fputs(in ? "}\n" : "\n", to);
    }
    fputs("----\n", to);
}

static void clear(int r, int from, int to) {
    for (int c = from; c < to; c++) screen[r][c] = (cell){0};
}

static void line_feed(void) {
    if (++row < rows) return;
    row = rows - 1;
    memmove(screen[0], screen[1], sizeof screen[0] * (size_t)(rows - 1));
    clear(rows - 1, 0, SIDE_MAX);
}

static void sequence(const char *s, char last) {
    int n = atoi(s);
    int one = n ? n : 1;
    if (last == 'A') row = row > one ? row - one : 0;
    if (last == 'B') row = row + one < rows ? row + one : rows - 1;
    if (last == 'C') column = column + one < columns ? column + one : columns - 1;
    if (last == 'D') column = column > one ? column - one : 0;
    if (last == 'H') row = column = 0;
    if (last == 'K') clear(row, column, SIDE_MAX);
    if (last == 'J') {
        clear(row, n == 2 ? 0 : column, SIDE_MAX);
        for (int r = n == 2 ? 0 : row + 1; r < rows; r++) clear(r, 0, SIDE_MAX);
    }
    if (last == 'm') dim = n == 2 ? true : n == 0 ? false : dim;
}

static void put(wchar_t c, const char *bytes, size_t n) {
    int width = wcwidth(c);
    if (width == 0) {
        cell *x = &screen[row][column ? column - 1 : 0];
        if (column > 1 && x->bytes[0] == 1) x--;
        size_t used = strlen(x->bytes);
        if (used + n < sizeof x->bytes) memcpy(x->bytes + used, bytes, n);
        return;
    }
    if (width < 0) width = 1;
    if (column + width > columns) column = 0, line_feed();
    screen[row][column] = (cell){.dim = dim};
    memcpy(screen[row][column].bytes, bytes, n);
    if (width == 2) screen[row][column + 1] = (cell){.bytes = {1}, .dim = dim};
    column += width;
}

static void take(char byte) {
    pending[n_pending++] = byte;
    if (pending[0] == '\33') {
        escaped = true;
        bool whole = n_pending > 2 && byte >= '@' && byte <= '~';
        if (n_pending == 2 && byte != '[') n_pending = 0;
        if (whole) pending[n_pending - 1] = 0, sequence(pending + 2, byte);
        if (whole || n_pending == sizeof pending) n_pending = 0;
        return;
    }
    if (n_pending == 1 && (unsigned char)byte < 0x20) {
        n_pending = 0;
        if (byte == '\r') column = 0;
        if (byte == '\n') line_feed();
        if (byte == '\b' && column) column--;
        return;
    }
    wchar_t c;
    mbstate_t state = {0};
    size_t n = mbrtowc(&c, pending, n_pending, &state);
    if (n == (size_t)-2) return;
    put(n == (size_t)-1 ? L'?' : c, pending, n_pending);
    n_pending = 0;
}

/* Reads for at most ms; false when nothing came. */
static bool listen_for(int ms) {
    char bytes[4096];
    struct pollfd p = {.fd = master, .events = POLLIN};
    if (ended || poll(&p, 1, ms) <= 0) return false;
    ssize_t n = read(master, bytes, sizeof bytes);
    if (n <= 0) return ended = true, false;
    for (ssize_t i = 0; i < n; i++) take(bytes[i]);
    return true;
}

/* What is there already; a program that never stops writing is not waited for. */
static void drain(void) {
    for (int i = 0; i < 20 && listen_for(0); i++) {}
}

static bool shown(const char *text) {
    static char all[SIDE_MAX * (SIDE_MAX + 1) * sizeof screen[0][0].bytes];
    size_t n = 0;
    for (int r = 0; r < rows; all[n++] = '\n', r++)
        for (int c = 0; c < columns; c++) {
            const cell *x = &screen[r][c];
            if (x->bytes[0] == 1) continue; /* the right half of a wide character */
            const char *bytes = x->old ? "\1" : x->bytes[0] ? x->bytes : " ";
            n += strlen(strcpy(all + n, bytes));
        }
    all[n] = 0;
    return strstr(all, text);
}

static _Noreturn void give_up(const char *what, const char *text) {
    printf("waited in vain for %s%s; the screen:\n", what, text);
    print_screen(stdout);
    kill(child, SIGKILL);
    exit(1);
}

/* Whether the terminal turns Ctrl-C into a signal. */
static bool interrupts(void) {
    struct termios t;
    return tcgetattr(master, &t) != 0 || (t.c_lflag & ISIG);
}

/* Bytes typed and not yet read. Looking from the program's side makes the kernel pass on what is on its way. */
static int unread(void) {
    int side = open(ptsname(master), O_RDONLY | O_NOCTTY | O_NONBLOCK), bytes = 0;
    struct pollfd p = {.fd = side, .events = POLLIN};
    if (side < 0) return 0;
    poll(&p, 1, 0);
    if (ioctl(side, FIONREAD, &bytes) != 0) bytes = 0;
    close(side);
    return bytes;
}

static bool sleeps(void) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
    FILE *f = fopen(path, "r");
    text[f ? fread(text, 1, sizeof text - 1, f) : 0] = 0;
    if (f) fclose(f);
    const char *name_end = strrchr(text, ')');
    return name_end && name_end[2] == 'S';
}

/* The order matters: a program that has read all keys and sleeps after that has done what they ask. */
static void wait_idle(void) {
    for (int left = WAIT_MS; !ended && left > 0; left--)
        if (!listen_for(1) && unread() == 0 && !interrupts() && sleeps() && !listen_for(0)) return;
    give_up("the program to read", "");
}

static void wait_busy(void) {
    int left = WAIT_MS;
    for (; !ended && left > 0 && !interrupts(); left -= 2) listen_for(2);
    drain();
    for (; !ended && left > 0; left -= 20)
        if (listen_for(20)) return;
    give_up("an answer", "");
}

static void type(const char *s) {
    char keys[4096];
    size_t n = 0;
    drain();
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) screen[r][c].old = true;
    for (; *s; s++) {
        char c = *s;
        if (c == '\\') {
            c = *++s;
            if (c == 'x') {
                char hex[3] = {s[1], s[2], 0};
                c = (char)strtol(hex, NULL, 16), s += 2;
            } else {
                c = c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : c == 'e' ? '\33' : c;
            }
        }
        keys[n++] = c;
    }
    /* At once: an escape sequence has no gap. But a program that cannot write takes no keys: it is listened to. */
    fcntl(master, F_SETFL, O_NONBLOCK);
    for (size_t done = 0; done < n && !ended;) {
        ssize_t took = write(master, keys + done, n - done);
        if (took > 0) done += (size_t)took;
        else if (errno == EAGAIN) listen_for(20);
        else ended = true;
    }
    fcntl(master, F_SETFL, 0);
}

static void set_size(int c, int r) {
    struct winsize size = {.ws_col = (unsigned short)c, .ws_row = (unsigned short)r};
    columns = c < SIDE_MAX ? c : SIDE_MAX - 1;
    rows = r < SIDE_MAX ? r : SIDE_MAX - 1;
    if (row >= rows) row = rows - 1;
    if (column >= columns) column = columns - 1;
    ioctl(master, TIOCSWINSZ, &size);
}

static void resize(int c, int r) {
    set_size(c, r);
    int left = WAIT_MS;
    for (; !ended && left > 0 && !listen_for(20);) left -= 20;
    wait_idle();
}

static void step(char *text) {
    char *rest = text + strcspn(text, " \n");
    rest[strcspn(rest, "\n")] = 0;
    if (*rest) *rest++ = 0;
    if (!*text || *text == '#') return;
    if (!strcmp(text, "type")) {
        type(rest);
    } else if (!strcmp(text, "wait")) {
        int left = WAIT_MS;
        for (; !shown(rest) && left > 0 && !ended; left -= 20) listen_for(20);
        drain();
        if (!shown(rest)) give_up("", rest);
    } else if (!strcmp(text, "idle")) {
        wait_idle();
    } else if (!strcmp(text, "busy")) {
        wait_busy();
    } else if (!strcmp(text, "size")) {
        int c = 80, r = 24;
        sscanf(rest, "%d %d", &c, &r);
        resize(c, r);
    } else if (!strcmp(text, "plain")) {
        drain();
        if (escaped) give_up("", "a program that writes no escapes");
    } else if (!strcmp(text, "screen")) {
        print_screen(stdout);
    } else if (!strcmp(text, "end")) {
        int status = 0;
        for (int left = WAIT_MS; !ended && left > 0; left -= 20) listen_for(20);
        if (!ended) kill(child, SIGKILL);
        waitpid(child, &status, 0);
        printf("status %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    } else {
        printf("no step '%s'\n", text);
        exit(2);
    }
}

/* The script may be a pipe: until its next line comes the program is listened to, or it would wait to be. */
static bool next_line(int script, char *text, size_t cap) {
    size_t n = 0;
    while (n + 1 < cap && (!n || text[n - 1] != '\n')) {
        struct pollfd p[] = {{.fd = script, .events = POLLIN}, {.fd = ended ? -1 : master, .events = POLLIN}};
        poll(p, 2, -1);
        if (p[1].revents) listen_for(0);
        if (!p[0].revents) continue;
        if (read(script, text + n, 1) != 1) break;
        n++;
    }
    text[n] = 0;
    return n;
}

int main(int argc, char **argv) {
    char text[4096];
    int script = argc > 4 ? open(argv[3], O_RDONLY | O_CLOEXEC) : -1;
    if (script < 0 || !setlocale(LC_ALL, "C.UTF-8")) {
        fprintf(stderr, "usage: pty COLUMNS ROWS SCRIPT COMMAND...\n");
        return 2;
    }
    struct winsize size = {.ws_col = (unsigned short)atoi(argv[1]), .ws_row = (unsigned short)atoi(argv[2])};
    child = forkpty(&master, NULL, NULL, &size);
    if (child < 0) return 2;
    if (child == 0) {
        execvp(argv[4], argv + 4);
        _exit(127);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    set_size(size.ws_col, size.ws_row);
    while (next_line(script, text, sizeof text)) step(text);
    close(script);
    fflush(stdout);
    return 0;
}
