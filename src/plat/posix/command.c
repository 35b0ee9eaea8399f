/* command.c: another program run to its end, and all that it started with it. Between us and the shell stands a guard:
 * it hears of our death, which the shell's children would not, and is the parent of whoever loses theirs, so that a
 * process that made a group or a session of its own is found as well. Where Linux says nothing of children, a group
 * that is ours to end takes those that stayed in it.
 */
#include "plat/posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS 50   /* how soon Ctrl-C and the end of the time are seen */
#define END_MS 10000 /* that the guard has for the others: who waits for a device may not end at all */

typedef struct stream {
    int fd; /* -1: at its end */
    char *to;
    size_t cap, used;
    bool cut; /* the beginning is gone */
} stream;

/* Keeps the end: all is read, or its writer would wait for us. */
static void drain(stream *s) {
    char buf[16384];
    ssize_t n = read(s->fd, buf, sizeof buf);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) {
        close(s->fd);
        s->fd = -1;
        return;
    }
    const char *from = buf;
    size_t bytes = MIN((size_t)n, s->cap - 1), keep = MIN(s->used, s->cap - 1 - bytes);
    from += (size_t)n - bytes;
    s->cut |= keep < s->used || bytes < (size_t)n;
    memmove(s->to, s->to + s->used - keep, keep);
    s->used = keep;
    memcpy(s->to + s->used, from, bytes);
    s->used += bytes;
}

/* The guard's children, as Linux lists them: numbers, a space after each. Says whether there was one to end. */
static bool kill_children(void) {
    char buf[4096];
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, buf, sizeof buf);
    bool any = false;
    pid_t child = 0;
    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] != ' ') child = child * 10 + (buf[i] - '0');
        else any |= !kill(child, SIGKILL), child = 0;
    }
    close(fd);
    return any;
}

/* The children of those that end become ours. Nobody waits for who may not be ended (sudo). */
static void end_children(void) {
    while (waitpid(-1, NULL, kill_children() ? 0 : WNOHANG) > 0) {}
}

static void end_all(int signal_) {
    (void)signal_;
    end_children();
    kill(0, SIGKILL);
}

/* Returns in the shell-to-be only. */
static void guard(pid_t parent) {
    int state = 0;
    setpgid(0, 0);
    signal(SIGTERM, end_all);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) || getppid() != parent) _exit(127);
    pid_t shell = fork();
    if (!shell) signal(SIGTERM, SIG_DFL);
    if (!shell) return;
    while (shell > 0 && waitpid(shell, &state, 0) < 0 && errno == EINTR) {}
    end_children();
    _exit(shell < 0 ? 127 : WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state));
}

/* Only what may be called between fork and exec of a program with threads. */
_Noreturn static void become(pid_t parent, const char *line, int out, int error) {
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    guard(parent);
    posix_bind(-1); /* the thread that called may be bound to a core */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    dup2(null, 0);
    dup2(out, 1);
    dup2(error, 2);
    execl("/bin/sh", "sh", "-c", line, (char *)NULL);
    _exit(127);
}

static void last_line(char *text, size_t used) {
    str all = str_trim((str){text, used});
    size_t from = all.len;
    while (from && all.ptr[from - 1] != '\n') from--;
    str line = str_cut(all, from, all.len);
    memmove(text, line.ptr, line.len);
    text[line.len] = 0;
}

/* Not reaped yet: its number stays that of its group until the group was ended. */
static bool has_ended(pid_t child) {
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child;
}

static int collect(pid_t child, stream s[2], uint64_t timeout_ns, plat_ran *ran) {
    uint64_t from = plat_time_ns();
    int state = 0, code = PLAT_OK;
    for (;;) {
        struct pollfd p[2] = {{.fd = s[0].fd, .events = POLLIN}, {.fd = s[1].fd, .events = POLLIN}};
        bool ended = has_ended(child), open = s[0].fd >= 0 || s[1].fd >= 0;
        int n = poll(p, 2, ended ? 0 : open ? LOOK_MS : 1);
        for (int i = 0; n > 0 && i < 2; i++)
            if (p[i].revents) drain(&s[i]);
        if (ended && n == 0) break; /* what it left running may hold the pipes open */
        ran->timed_out = plat_time_ns() - from > timeout_ns;
        if (plat_interrupted()) code = PLAT_INTERRUPTED;
        if (ran->timed_out || code) break;
    }
    for (int ms = 0; ms < END_MS && !has_ended(child); ms += LOOK_MS) {
        kill(child, SIGTERM); /* again and again: the first may come before the guard listens */
        poll(NULL, 0, LOOK_MS);
    }
    kill(-child, SIGKILL);
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) {}
    ran->status = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    return code;
}

int plat_command(const char *line, uint64_t timeout_ns, char *out, size_t cap, plat_ran *ran) {
    *ran = (plat_ran){0};
    int fd[2][2] = {{-1, -1}, {-1, -1}}, code = PLAT_OK;
    pid_t child = -1, parent = getpid();
    plat_core_count(); /* the mask is known before the fork */
    if (pipe2(fd[0], O_CLOEXEC) || pipe2(fd[1], O_CLOEXEC) || (child = fork()) < 0) code = posix_error(errno);
    else if (!child) become(parent, line, fd[0][1], fd[1][1]);
    for (int i = 0; i < 2; i++)
        if (fd[i][1] >= 0) close(fd[i][1]);
    stream s[2] = {{.fd = fd[0][0], .to = out, .cap = cap},
                   {.fd = fd[1][0], .to = ran->said, .cap = sizeof ran->said}};
    if (!code) {
        setpgid(child, child); /* here as well: whoever is first */
        code = collect(child, s, timeout_ns, ran);
    }
    for (int i = 0; i < 2; i++)
        if (s[i].fd >= 0) close(s[i].fd);
    ran->bytes = s[0].used;
    ran->cut = s[0].cut;
    out[s[0].used] = 0;
    last_line(ran->said, s[1].used);
    return code;
}
