/* console.c: the three standard streams, Ctrl-C, the end of the process. */
#include "plat/posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define INTERRUPTS_MAX 3 /* asked so often and not heard: something does not poll the flag */

static atomic_bool interrupted, terminated; /* free of locks, so a handler may write it */
static atomic_int asked;                    /* signals since the flag was cleared */
static struct termios cooked;               /* as it was before raw */
static atomic_bool raw;

static void make_cooked(void) {
    if (atomic_exchange(&raw, false)) tcsetattr(0, TCSADRAIN, &cooked);
}

static void on_signal(int sig) {
    if (sig != SIGINT) terminated = true;
    interrupted = true;
    if (++asked < INTERRUPTS_MAX) return;
    make_cooked();
    _exit(128 + sig);
}

static void on_bus_error(int sig, siginfo_t *info, void *context) {
    static const char text[] = "leat: memory cannot be read: it, or the disk of the program, fails\n";
    int before = errno;
    (void)sig, (void)context;
    bool mapped = posix_map_fault(info->si_addr);
    errno = before;
    if (mapped) return;
    make_cooked();
    plat_stderr_write(text, sizeof text - 1);
    _exit(1);
}

static void on_assert(const char *text) {
    plat_stderr_write("leat: ", 6);
    plat_stderr_write(text, strlen(text));
    plat_stderr_write("\n", 1);
    abort();
}

/* Where a standard stream is closed, the next file that is opened takes its number: a model would be standard input, or
 * what is printed land in an output file. So something that refuses to be read, or written, takes it. */
static void fill_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) < 0) return; /* there is none */
}

/* A model, or what becomes of one, may have a thousand parts. */
static void allow_files(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files)) return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

void plat_posix_start(void) {
    fill_streams();
    allow_files();
    /* No SA_RESTART: a read from the terminal must come back. */
    struct sigaction act = {.sa_handler = on_signal}, was;
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    if (!sigaction(SIGHUP, NULL, &was) && was.sa_handler != SIG_IGN) sigaction(SIGHUP, &act, NULL); /* else nohup */
    act.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &act, NULL);
    sigaction(SIGXFSZ, &act, NULL); /* a file above the limit is a failed write, too */
    struct sigaction bus = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&bus.sa_mask);
    sigaction(SIGBUS, &bus, NULL);
    assert_hook = on_assert;
}

bool plat_interrupted(void) { return interrupted; }
void plat_interrupt_clear(void) {
    asked = 0;
    interrupted = terminated;
}

/* Somebody set O_NONBLOCK on a stream that we share with him: wait until it moves. */
static void wait_for(int fd, short events) {
    struct pollfd p = {.fd = fd, .events = events};
    poll(&p, 1, 100);
}

int64_t plat_stdin_read(void *to, size_t bytes) {
    for (;;) {
        ssize_t n = read(0, to, bytes);
        if (n >= 0) return n;
        if (errno != EINTR && errno != EAGAIN) return posix_error(errno);
        if (interrupted) return PLAT_INTERRUPTED;
        if (errno == EAGAIN) wait_for(0, POLLIN);
    }
}

static int write_all(int fd, const void *bytes, size_t n) {
    const char *at = bytes;
    while (n) {
        ssize_t w = write(fd, at, n);
        if (w >= 0) {
            at += w;
            n -= (size_t)w;
        } else if (errno == EAGAIN) {
            if (interrupted) return PLAT_INTERRUPTED;
            wait_for(fd, POLLOUT);
        } else if (errno != EINTR) {
            return posix_error(errno);
        }
    }
    return PLAT_OK;
}

int plat_stdout_write(const void *bytes, size_t n) { return write_all(1, bytes, n); }
int plat_stderr_write(const void *bytes, size_t n) { return write_all(2, bytes, n); }
bool plat_is_terminal(int fd) { return isatty(fd) == 1; }

int plat_terminal_columns(void) {
    struct winsize size;
    for (int fd = 2; fd >= 0; fd--)
        if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return 80;
}

int plat_terminal_rows(void) {
    struct winsize size;
    for (int fd = 2; fd >= 0; fd--)
        if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) return size.ws_row;
    return 24;
}

bool plat_terminal_dumb(void) {
    const char *term = getenv("TERM");
    return !term || !*term || strcmp(term, "dumb") == 0;
}

bool plat_terminal_colours(void) {
    const char *no = getenv("NO_COLOR");
    return plat_is_terminal(1) && !(no && *no) && !plat_terminal_dumb();
}

int plat_terminal_keys(plat_keys how) {
    static bool registered;
    if (how == PLAT_KEYS_LINES) return make_cooked(), PLAT_OK;
    if (!raw && tcgetattr(0, &cooked) != 0) return posix_error(errno);
    struct termios t = cooked;
    t.c_lflag &= (tcflag_t) ~(ICANON | ECHO | IEXTEN | (how == PLAT_KEYS_BYTES ? ISIG : 0));
    t.c_lflag |= NOFLSH; /* a Ctrl-C takes neither keys that were typed nor output on its way to the screen */
    t.c_iflag &= (tcflag_t) ~(ICRNL | INLCR | IXON);
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    t.c_cc[VSUSP] = t.c_cc[VQUIT] = _POSIX_VDISABLE; /* a stopped process would leave its terminal raw */
    if (!registered) atexit(make_cooked);
    registered = true;
    bool was = atomic_exchange(&raw, true);
    if (tcsetattr(0, TCSADRAIN, &t) == 0) return PLAT_OK;
    raw = was;
    return posix_error(errno);
}

bool plat_stdin_ready(uint64_t timeout_ns) {
    struct pollfd p = {.fd = 0, .events = POLLIN};
    return poll(&p, 1, (int)MIN(timeout_ns / 1000000, 1000000)) > 0;
}

/* $XDG_STATE_HOME/leat/NAME, or ~/.local/state/leat/NAME. */
bool plat_state_path(const char *name, char *buf, size_t cap) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n;
    if (state && state[0] == '/') n = snprintf(buf, cap, "%s/leat/%s", state, name);
    else if (home && home[0] == '/') n = snprintf(buf, cap, "%s/.local/state/leat/%s", home, name);
    else return false;
    if (n < 0 || (size_t)n >= cap) return false;
    for (char *at = buf + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        int failed = mkdir(buf, 0700) != 0 && errno != EEXIST;
        *at = '/';
        if (failed) return false;
    }
    return true;
}

void plat_exit(int code) { exit(code); }
