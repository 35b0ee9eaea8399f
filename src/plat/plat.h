/* plat.h: THE boundary. Everything the core wants of a machine, and nothing else.
 *
 * Homes: plat/posix (Linux program), plat/fault (a test double over posix: seeded failures, short reads,
 * delays), later plat/bare (no operating system). The core never asks which one it runs on; it asks for
 * capabilities. All paths are zero-terminated UTF-8. Calls that can fail return 0 for success or a
 * negative plat_error; nothing here prints.
 */
#ifndef LEAT_PLAT_H
#define LEAT_PLAT_H

#include "base/base.h"

typedef enum {
    PLAT_OK = 0,
    PLAT_NOT_FOUND = -1,
    PLAT_DENIED = -2,
    PLAT_NO_MEMORY = -3,
    PLAT_IO_ERROR = -4,
    PLAT_EXISTS = -5,
    PLAT_INVALID = -6,
    PLAT_UNSUPPORTED = -7,
    PLAT_INTERRUPTED = -8,
    PLAT_NO_SPACE = -9,
    PLAT_CLOSED = -10, /* nobody reads the other end of a pipe */
    PLAT_AGAIN = -11,  /* not now: nothing has come yet, or there is no room to send */
    PLAT_TOO_MANY = -12, /* files open */
} plat_error;
const char *plat_error_name(int error); /* "no such file", ... static */

/* Capabilities of this home. */
enum {
    PLAT_CAN_MAP = 1 << 0,      /* plat_file_map works          */
    PLAT_CAN_WRITE = 1 << 1,    /* files can be created         */
    PLAT_CAN_PIN = 1 << 2,      /* threads can be bound to cores */
    PLAT_CALLER_WAITS = 1 << 3, /* the first thread's core serves devices, and is none of plat_core_count */
};
uint32_t plat_caps(void);

/* ---- memory ------------------------------------------------------------------------------------ */

void *plat_reserve(size_t bytes);             /* address space only; NULL when refused        */
int plat_commit(void *at, size_t bytes);      /* page multiples; zeroed on first use          */
void plat_discard(void *at, size_t bytes);    /* a hint: contents are lost, pages go until it is used again */
void plat_release(void *at, size_t bytes);    /* gives the reservation back                   */
void plat_huge_pages(const void *at, size_t bytes); /* a hint; for mapped files, too           */
void plat_populate(void *at, size_t bytes);   /* a hint: all of it is used soon; contents stay */
void plat_spread(void *at, size_t bytes);     /* a hint: pages not yet used lie on all nodes of memory in turn */
size_t plat_page_bytes(void);
uint64_t plat_mem_total(void);     /* bytes, within the limits that hold for this process */
/* Share of the last ten seconds in which somebody waited for memory; 1: more is held than may be; 0: unknown. */
double plat_mem_pressure(void);
uint64_t plat_major_faults(void);  /* of this process so far: pages read from a disk; 0 where nobody counts */
uint64_t plat_disk_bytes(void);    /* likewise: bytes read from disks, by page faults too   */
uint64_t plat_mem_available(void); /* bytes that could be used now without swapping       */
uint64_t plat_mem_resident(void);  /* of those committed, at most: what nothing was written to is still available */

/* ---- cores ------------------------------------------------------------------------------------- */

/* A core keeps one worker busy, though the system may see several processors of it, which share its units. Cores are
 * numbered node by node: neighbours are near the same memory. */
int plat_core_count(void); /* that this process may use: those of its affinity mask, or fewer under a quota of time */
int plat_processor_count(void); /* the same for processors */
typedef struct plat_core {
    int32_t node;     /* of memory, that it is near */
    int32_t capacity; /* its speed: 1024 is that of the fastest; 1024 where nobody says */
} plat_core;
plat_core plat_core_at(int core);
typedef struct plat_thread plat_thread;
/* Runs fn(arg) on a new thread; core < 0: not bound, even where the caller is, else to the processors of that core. */
int plat_thread_start(plat_thread **out, void (*fn)(void *), void *arg, int core);
void plat_thread_join(plat_thread *t);
/* core < 0 takes one binding back: the thread has the whole mask again when none is left. */
int plat_pin_self(int core);
/* Futex: returns when *word != expected, when woken, after timeout_ns (UINT64_MAX: none), or spuriously. */
void plat_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns);
void plat_wake(_Atomic uint32_t *word, uint32_t count);
void plat_yield(void);
/* What the system lets this process use of the CPU, where the CPU cannot be asked or the system wants to be. */
enum {
    PLAT_CPU_ARM_DOT = 1 << 0,  /* dot products of bytes         */
    PLAT_CPU_ARM_I8MM = 1 << 1, /* products of matrices of bytes */
    PLAT_CPU_X86_TILES = 1 << 2, /* AMX: from here on, by all threads; asked on a CPU that has it */
};
uint32_t plat_cpu(void);

/* ---- time, entropy ----------------------------------------------------------------------------- */

uint64_t plat_time_ns(void); /* monotonic */
uint64_t plat_wall_ns(void); /* since 1970-01-01 UTC */
void plat_sleep_ns(uint64_t ns);
void plat_entropy(void *out, size_t bytes);

/* ---- reading files ----------------------------------------------------------------------------- */

typedef struct plat_file plat_file;
int plat_file_open(plat_file **out, const char *path); /* for reading */
/* The same for reads past the page cache: PLAT_UNSUPPORTED where the file system refuses them (tried by reads).
 * Offsets, lengths and buffers must then be multiples of plat_file_align; the file's last bytes come as a short read.
 * */
int plat_file_open_direct(plat_file **out, const char *path);
bool plat_file_same(const plat_file *a, const plat_file *b); /* else another has come in its place, by that name */
size_t plat_file_align(const plat_file *f);            /* 1 without direct reads */
/* A hint: what the system keeps of the file in its cache, and nobody has mapped, will not be wanted, nor what it would
 * read ahead from now on. */
void plat_file_uncache(plat_file *f);
void plat_file_close(plat_file *f);                    /* accepts NULL */
uint64_t plat_file_bytes(const plat_file *f);
/* Synchronous read of exactly `bytes` at `offset` unless the file ends: returns bytes read, or a plat_error. */
int64_t plat_file_read(plat_file *f, uint64_t offset, void *to, size_t bytes);
/* A hint: these bytes, and the pages that they lie in, will not be read again soon. */
void plat_file_forget(plat_file *f, uint64_t offset, uint64_t bytes);
/* What tells a file from all others under any of its names; PLAT_INVALID for what is no plain file. */
int plat_file_id(const char *path, uint64_t id[2]);
/* Read-only mapping of the whole file, which stays open meanwhile; needs PLAT_CAN_MAP. What cannot be read when it is
 * touched (the disk fails, the file has become shorter) is zeros from there to the end, until the next mark is taken,
 * by whichever thread: what was made of mapped bytes since a mark is to be thrown away if plat_map_failed then. */
int plat_file_map(plat_file *f, const void **at);
void plat_file_unmap(const void *at);
uint64_t plat_map_mark(void); /* what could not be read before is tried again */
bool plat_map_failed(const void *at, uint64_t mark, uint64_t *offset); /* since then; where it did last */

/* Asynchronous reads: submit never blocks for I/O, reap returns finished ones in any order. A queue is used
 * by one thread. */
typedef struct plat_queue plat_queue;
typedef struct plat_read {
    plat_file *file;
    uint64_t offset;
    void *to;
    size_t bytes;
    uint64_t tag;   /* the caller's */
    int64_t result; /* bytes read, or a plat_error; set when reaped */
} plat_read;
int plat_queue_open(plat_queue **out, uint32_t depth);
void plat_queue_close(plat_queue *q);
const char *plat_queue_kind(const plat_queue *q); /* how it reads, for messages: "io_uring", "4 threads" */
int plat_queue_submit(plat_queue *q, const plat_read *reads, size_t n); /* takes all or none: PLAT_NO_SPACE */
/* Up to max finished reads; waits at most timeout_ns for the first. */
size_t plat_queue_reap(plat_queue *q, plat_read *done, size_t max, uint64_t timeout_ns);

/* ---- writing files ----------------------------------------------------------------------------- */

typedef struct plat_out plat_out;
/* A file that appears under its name when it is whole, in the place of what is there: until then it is PATH.part, which
 * one writer at a time has the right to. What a killed one left there the next writes over. Where PATH is a link all
 * that is so of what it leads to. private: of its owner alone. What is there and keeps nothing, a pipe or a device, is
 * written as it is. PLAT_AGAIN: another one is at it. PLAT_DENIED: also where what is there may not be written.
 * PLAT_INVALID: a folder, or what has no name of its own, as a link that leads nowhere. */
int plat_out_create(plat_out **out, const char *path, bool private);
bool plat_out_aside(const char *path, char *buf, size_t cap); /* that PATH.part; false where there can be none */
/* The file will have that many bytes: PLAT_NO_SPACE now rather than later, where the system can tell. A large file then
 * does not push other files out of the system's cache. */
int plat_out_expect(plat_out *o, uint64_t bytes);
int plat_out_write(plat_out *o, const void *bytes, size_t n); /* all or an error */
int plat_out_sync(plat_out *o);                               /* all that was written is on the disk */
/* Syncs and renames it, unless something went wrong before (`error`): then PATH stays what it was. Returns the first
 * error; frees o in any case. Where it could not be renamed PATH.part stays, whole. PLAT_NOT_FOUND: somebody took that
 * away. */
int plat_out_settle(plat_out *o, int error);
int plat_file_rename(const char *from, const char *to); /* over an existing file; PLAT_INVALID: it is no plain one */
int plat_file_remove(const char *path);

/* ---- streams ----------------------------------------------------------------------------------- */

/* Connections between machines (TCP). Nothing here waits but plat_poll. */
typedef struct plat_stream plat_stream;
/* host: an address or a name of this machine; port 0: any free one. PLAT_EXISTS: another program has the port. */
int plat_listen(plat_stream **out, const char *host, uint16_t port);
uint16_t plat_stream_port(const plat_stream *listener);
int plat_accept(plat_stream *listener, plat_stream **out);              /* PLAT_AGAIN when nobody waits */
int64_t plat_recv(plat_stream *s, void *to, size_t bytes);              /* at least 1; 0 at the end; PLAT_AGAIN */
int64_t plat_send(plat_stream *s, const void *bytes, size_t n);         /* how many it took; PLAT_AGAIN */
void plat_stream_end(plat_stream *s);   /* nothing more will be sent; what the other side sends still comes */
void plat_stream_close(plat_stream *s); /* a listener, too; accepts NULL */
enum {
    PLAT_READY_RECV = 1, /* bytes, the end, or a connection to accept     */
    PLAT_READY_SEND = 2, /* room for more                                 */
    PLAT_READY_GONE = 4, /* broken, or closed on both sides; told without asking */
    PLAT_READY_END = 8,  /* the other side sends nothing more; whether it still reads shows when something is sent */
};
typedef struct plat_ready {
    plat_stream *stream;
    uint32_t want, got; /* PLAT_READY_...; got is set by plat_poll */
} plat_ready;
#define PLAT_POLL_MAX 1024
/* How many of at most PLAT_POLL_MAX streams have got something; waits at most timeout_ns for one, less when a signal
 * comes. */
size_t plat_poll(plat_ready *streams, size_t n, uint64_t timeout_ns);

/* ---- console ----------------------------------------------------------------------------------- */

int64_t plat_stdin_read(void *to, size_t bytes); /* 0 at the end */
int plat_stdout_write(const void *bytes, size_t n);
int plat_stderr_write(const void *bytes, size_t n);
bool plat_is_terminal(int fd);       /* 0, 1, 2 */
int plat_terminal_columns(void);     /* 80 when unknown */
int plat_terminal_rows(void);        /* 24 when unknown */
bool plat_terminal_dumb(void);       /* it obeys nothing but line ends: TERM is "dumb" or missing */
bool plat_terminal_colours(void);    /* standard output is a terminal and nobody asked it to be plain (NO_COLOR) */
/* How a terminal hands its keys to standard input; the end of the process restores what it found. What was typed and
 * is not yet read stays through every change. */
typedef enum {
    PLAT_KEYS_LINES,  /* as it was: whole lines, echoed                                             */
    PLAT_KEYS_SIGNAL, /* key by key, without echo, Enter as \r; Ctrl-C interrupts                    */
    PLAT_KEYS_BYTES,  /* the same, but Ctrl-C is byte 3, in order with the keys before and after it */
} plat_keys;
int plat_terminal_keys(plat_keys how);
/* Standard input has bytes, or has ended; waits at most timeout_ns, less when a signal comes. */
bool plat_stdin_ready(uint64_t timeout_ns);
/* Set by Ctrl-C (SIGINT), SIGTERM and SIGHUP, a terminal's end; the core polls it. Reading does not clear it; nothing
 * clears the last two. */
bool plat_interrupted(void);
void plat_interrupt_clear(void);
/* The path of a file that commands keep for the user between runs; its folder is made. False where there is none. */
bool plat_state_path(const char *name, char *buf, size_t cap);

/* ---- other programs ---------------------------------------------------------------------------- */

/* Runs a line of the system's shell, on all cores that this process may use, until it ends, Ctrl-C is pressed or the
 * time is up; then all its processes are ended, and also when this one dies. `out` gets the last cap - 1 bytes of
 * what it printed, and a zero.
 * PLAT_UNSUPPORTED where there are no other programs. */
typedef struct plat_ran {
    size_t bytes;   /* of `out`                                                  */
    bool cut;       /* it printed more                                           */
    int status;     /* exit status; 128 + the signal that ended it               */
    bool timed_out;
    char said[256]; /* the end of what it wrote to standard error, one line of it */
} plat_ran;
int plat_command(const char *line, uint64_t timeout_ns, char *out, size_t cap, plat_ran *ran);

/* ---- about this machine ------------------------------------------------------------------------ */

size_t plat_cpu_name(char *buf, size_t cap);
double plat_load(void); /* runnable tasks beside this process, or a negative number when unknown */
_Noreturn void plat_exit(int code);

#endif
