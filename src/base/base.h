/* base.h: what every file of the core may use and nothing below it provides.
 *
 * The core is freestanding: no libc under it. This floor has no state and does no I/O: errors as values,
 * text formatting and parsing, UTF-8, little-endian loads, half floats, hashing, random numbers and the
 * few functions of libm that the engine needs (so that both homes compute the same logits).
 * Memory is one floor up (mem/mem.h), the machine behind plat/plat.h.
 */
#ifndef LEAT_BASE_H
#define LEAT_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h> /* base/shim/string.h: the mem* quartet */

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define PRINTF_LIKE(fmt_at, args_at) __attribute__((format(printf, fmt_at, args_at)))

static inline size_t align_up(size_t n, size_t align) { return (n + align - 1) & ~(align - 1); }
static inline size_t div_up(size_t n, size_t by) { return (n + by - 1) / by; }

/* ---- errors: fixed-size values, no allocation --------------------------------------------------- */

/* The codes of include/leat.h, one to one. */
typedef enum {
    ERR_NONE = 0,
    ERR_ARGUMENT,    /* the caller asked for something that makes no sense        */
    ERR_IO,          /* the machine failed to read or write                       */
    ERR_FORMAT,      /* a file, prompt or request is malformed                    */
    ERR_UNSUPPORTED, /* well-formed, but leat cannot run it                       */
    ERR_MEMORY,      /* no memory within the budget                               */
    ERR_LIMIT,       /* a written limit was reached (context full, queue full)    */
    ERR_CANCELLED,   /* the caller or a signal stopped it                         */
    ERR_INTERNAL,    /* our own bug                                               */
} err_code;

typedef struct err {
    err_code code;
    const char *where; /* static: the function or phase that noticed       */
    char text[256];    /* names the thing, the value seen, the value wanted */
} err;

/* Fills *e (e may be NULL) and returns code, so that `return err_set(...)` reads well. */
err_code err_set(err *e, err_code code, const char *where, const char *fmt, ...) PRINTF_LIKE(4, 5);
#define ERR(e, code, ...) err_set((e), (code), __func__, __VA_ARGS__)
const char *err_name(err_code code);

/* For our own bugs only: stops the process through the hook that the platform set (default: a trap). */
#define ASSERT(cond) ((cond) ? (void)0 : assert_failed(#cond, __FILE__, __LINE__))
_Noreturn void assert_failed(const char *cond, const char *file, int line);
extern void (*assert_hook)(const char *text); /* prints and never returns; set once at start */

/* ---- work that takes long ------------------------------------------------------------------------ */

/* Called now and then, on the calling thread, at least every few milliseconds: a server answers others meanwhile. True:
 * the work is not wanted any more, and ends with ERR_CANCELLED. */
typedef struct yield_hook {
    bool (*call)(void *user); /* NULL: nobody asks */
    void *user;
} yield_hook;
static inline bool yield_now(const yield_hook *y) { return y && y->call && y->call(y->user); }

/* ---- text -------------------------------------------------------------------------------------- */

/* A view of bytes somebody else owns; not terminated. Hostile text is always a str. */
typedef struct str {
    const char *ptr;
    size_t len;
} str;
#define STR(literal) ((str){(literal), sizeof(literal) - 1})

size_t cstr_len(const char *s);
str str_of(const char *cstr);
bool str_eq(str a, str b);
bool str_is(str a, const char *cstr);
int str_cmp(str a, str b); /* bytewise, as memcmp then length */
bool str_starts(str s, str prefix);
bool str_ends(str s, str suffix);
size_t str_find(str s, str needle); /* offset, or SIZE_MAX */
str str_cut(str s, size_t from, size_t len); /* clipped to s */
str str_trim(str s);                         /* ASCII white space on both ends */
str str_base_name(str path); /* behind the last slash, but for slashes at the end: they stay */
bool cstr_eq(const char *a, const char *b);
/* Edit distance (Damerau-Levenshtein, capped at 32 bytes each); used for "did you mean". */
size_t str_distance(str a, str b);

/* Formats at most cap-1 bytes and a terminating zero (cap > 0); returns the bytes written without the zero,
 * so that appends chain: n += fmt(buf + n, cap - n, ...). Knows flags - 0 + space, width, precision, *, and
 * h l ll z j with d i u x X c s p f e g %. Numbers are printed exactly rounded up to 17 digits. */
size_t fmt(char *buf, size_t cap, const char *format, ...) PRINTF_LIKE(3, 4);
size_t fmt_v(char *buf, size_t cap, const char *format, va_list args);
/* 1.5 KB, 23.4 GB ... (powers of 1024 with KiB, MiB, GiB); returns buf. */
const char *fmt_bytes(char *buf, size_t cap, uint64_t bytes);

/* Whole string must be the number; false on overflow, empty, junk. */
int hex_digit(int c); /* the value of a hexadecimal digit, or -1 */
bool parse_u64(str s, uint64_t *out);
bool parse_i64(str s, int64_t *out);
bool parse_f64(str s, double *out);
bool parse_bytes(str s, uint64_t *out); /* 512, 64K, 1.5G, 2GiB (powers of 1024) */

/* ---- UTF-8 ------------------------------------------------------------------------------------- */

#define UTF8_INVALID 0xFFFFFFFFu
/* Decodes one code point at s[0..n); *len is 1..4 (1 where invalid, result UTF8_INVALID). n > 0.
 * Overlong forms, surrogates and values above 0x10FFFF are invalid. */
uint32_t utf8_decode(const char *s, size_t n, size_t *len);
size_t utf8_encode(uint32_t cp, char out[4]); /* 1..4; U+FFFD for what has no encoding */
/* Length of the longest prefix of s that ends on a complete character. Bytes that can never become one
 * count as complete; at most 3 bytes are held back. */
size_t utf8_complete(const char *s, size_t n);

/* ---- little-endian loads, checked arithmetic ---------------------------------------------------- */

static inline uint16_t load_u16(const void *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t load_u32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t load_u64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline float load_f32(const void *p) { float v; memcpy(&v, p, 4); return v; }
static inline double load_f64(const void *p) { double v; memcpy(&v, p, 8); return v; }
static inline void store_u16(void *p, uint16_t v) { memcpy(p, &v, 2); }
static inline void store_u32(void *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void store_u64(void *p, uint64_t v) { memcpy(p, &v, 8); }
static inline void store_f32(void *p, float v) { memcpy(p, &v, 4); }

/* False on overflow; *out untouched then. */
static inline bool mul_size(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
static inline bool add_size(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

/* Between two looks at a word that another core will change. */
static inline void cpu_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* ---- small floats: bit-exact, round to nearest even --------------------------------------------- */

static inline float f32_of_bits(uint32_t bits) { float f; memcpy(&f, &bits, 4); return f; }
static inline uint32_t bits_of_f32(float f) { uint32_t b; memcpy(&b, &f, 4); return b; }
float f32_of_f16(uint16_t h);
uint16_t f16_of_f32(float f);
static inline float f32_of_bf16(uint16_t b) { return f32_of_bits((uint32_t)b << 16); }
uint16_t bf16_of_f32(float f);

/* ---- math (double: within 1 ulp or so; float: rounded from double) ------------------------------ */

#define F32_INF (__builtin_inff())
#define F32_MAX 3.40282347e+38f
static inline bool f32_is_nan(float x) { return x != x; }
static inline bool f32_is_finite(float x) { return x - x == 0.0f; }
double math_exp(double x);
double math_log(double x);
double math_pow(double x, double y); /* x > 0 */
double math_sin(double x);           /* |x| < 2^30 */
double math_cos(double x);
double math_floor(double x);
double math_sqrt(double x);
static inline double math_abs(double x) { return x < 0 ? -x : x; }

/* ---- order ------------------------------------------------------------------------------------------ */

/* Sorts n items of `size` bytes in place. before: must a come before b? Equal items may change places. */
typedef bool sort_before(const void *a, const void *b);
void sort_items(void *items, size_t n, size_t size, sort_before *before);
/* The median of n > 0 values, which are sorted. */
double sort_median(double *values, size_t n);

/* ---- hash, random numbers ------------------------------------------------------------------------ */

/* Not cryptographic; seed it per process for hostile keys. */
uint64_t hash_bytes(const void *p, size_t n, uint64_t seed);

/* SHA-256 of bytes that come in pieces. */
typedef struct sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t part[64];
} sha256;
void sha256_start(sha256 *h);
void sha256_add(sha256 *h, const void *bytes, size_t n);
void sha256_end(sha256 *h, uint8_t out[32]);

/* xoshiro256** (Blackman, Vigna 2018), seeded by splitmix64: the same stream on every machine. */
typedef struct rng { uint64_t s[4]; } rng;
void rng_seed(rng *r, uint64_t seed);
uint64_t rng_u64(rng *r);
double rng_unit(rng *r);              /* [0, 1) with 53 bits */
float rng_normal(rng *r);             /* mean 0, deviation 1 (Box-Muller) */

#endif
