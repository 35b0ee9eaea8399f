/* console.c: the three standard streams, Ctrl-C, the end of the process. */
#include "plat/posix/posix.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static atomic_bool interrupted; /* free of locks, so a handler may write it */

static void on_signal(int sig) {
    if (atomic_exchange(&interrupted, true)) _exit(128 + sig); /* asked twice: something does not poll the flag */
}

static void on_assert(const char *text) {
    plat_stderr_write("leat: ", 6);
    plat_stderr_write(text, strlen(text));
    plat_stderr_write("\n", 1);
    abort();
}

void plat_posix_start(void) {
    /* No SA_RESTART: a read from the terminal must come back. */
    struct sigaction act = {.sa_handler = on_signal};
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    act.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &act, NULL);
    sigaction(SIGXFSZ, &act, NULL); /* a file above the limit is a failed write, too */
    assert_hook = on_assert;
}

bool plat_interrupted(void) { return interrupted; }
void plat_interrupt_clear(void) { interrupted = false; }

/* Somebody set O_NONBLOCK on a stream that we share with him: wait until it moves. */
static void wait_for(int fd, short events) {
    struct pollfd p = {.fd = fd, .events = events};
    poll(&p, 1, 100);
}

int64_t plat_stdin_read(void *to, size_t bytes) {
    for (;;) {
        ssize_t n = read(0, to, bytes);
        if (n >= 0) return n;
        if (errno == EINTR && interrupted) return PLAT_INTERRUPTED;
        if (errno == EAGAIN) wait_for(0, POLLIN);
        else if (errno != EINTR) return posix_error(errno);
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

void plat_exit(int code) { exit(code); }
