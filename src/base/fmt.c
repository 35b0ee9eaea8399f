/* fmt.c: printf for a world without libc. Numbers are exactly rounded at any precision (decimal.c). */
#include "base/base_int.h"

/* A format string that asks for more is ours and wrong; the clip only bounds the loops. */
#define FIELD_MAX 4096

typedef struct sink {
    char *buf;
    size_t cap, len; /* len < cap; what does not fit is dropped */
} sink;

typedef struct spec {
    bool left, zero;
    char sign; /* 0, '+' or ' ': what stands before a number that is not negative */
    int width, precision; /* precision -1: not given */
    int size;             /* bytes of the integer argument */
} spec;

static void put(sink *s, char c) {
    if (s->len + 1 < s->cap) s->buf[s->len++] = c;
}

static void put_times(sink *s, char c, int n) {
    while (n-- > 0) put(s, c);
}

static void put_bytes(sink *s, const char *p, size_t n) {
    n = MIN(n, s->cap - 1 - s->len);
    memcpy(s->buf + s->len, p, n);
    s->len += n;
}

/* What stands before a body of `body` characters: blanks, the prefix (a sign, 0x), zeros. */
static void put_lead(sink *s, const spec *sp, str prefix, int body) {
    int pad = sp->width - body - (int)prefix.len;
    if (!sp->left && !sp->zero) put_times(s, ' ', pad);
    put_bytes(s, prefix.ptr, prefix.len);
    if (!sp->left && sp->zero) put_times(s, '0', pad);
}

static void put_trail(sink *s, const spec *sp, str prefix, int body) {
    if (sp->left) put_times(s, ' ', sp->width - body - (int)prefix.len);
}

static void put_text(sink *s, spec *sp, const char *p, size_t n) {
    sp->zero = false;
    int body = (int)MIN(n, (size_t)FIELD_MAX);
    put_lead(s, sp, STR(""), body);
    put_bytes(s, p, n);
    put_trail(s, sp, STR(""), body);
}

static void put_integer(sink *s, spec *sp, uint64_t v, unsigned base, bool upper, str prefix) {
    char digits[24];
    int n = 0;
    for (uint64_t rest = v; rest; rest /= base) {
        unsigned d = (unsigned)(rest % base);
        digits[n++] = (char)(d < 10 ? '0' + d : (upper ? 'A' : 'a') + d - 10);
    }
    int body = MAX(n, sp->precision < 0 ? 1 : sp->precision);
    if (sp->precision >= 0) sp->zero = false;
    put_lead(s, sp, prefix, body);
    put_times(s, '0', body - n);
    while (n) put(s, digits[--n]);
    put_trail(s, sp, prefix, body);
}

static str sign_prefix(const spec *sp, bool negative) {
    if (negative) return STR("-");
    return sp->sign == '+' ? STR("+") : sp->sign == ' ' ? STR(" ") : STR("");
}

/* DIGITS.FRACTION with `fraction` digits after the point, of a decimal that is already rounded there. */
static void put_fixed(sink *s, const decimal *d, int point, int fraction) {
    if (point <= 0) put(s, '0');
    for (int i = 0; i < point; i++) put(s, i < d->n ? d->digits[i] : '0');
    if (fraction > 0) put(s, '.');
    for (int i = point; i < point + fraction; i++) put(s, i >= 0 && i < d->n ? d->digits[i] : '0');
}

static void put_double(sink *s, spec *sp, double x, char kind) {
    uint64_t bits;
    memcpy(&bits, &x, 8);
    bool negative = bits >> 63;
    if ((bits >> 52 & 0x7FF) == 0x7FF) {
        str prefix = sign_prefix(sp, negative);
        sp->zero = false;
        put_lead(s, sp, prefix, 3);
        put_bytes(s, bits << 12 ? "nan" : "inf", 3);
        put_trail(s, sp, prefix, 3);
        return;
    }
    int precision = sp->precision < 0 ? 6 : sp->precision;
    decimal d;
    decimal_of(&d, x);
    bool scientific = kind == 'e';
    if (kind == 'f') {
        decimal_round(&d, d.point + precision);
    } else {
        if (kind == 'g' && precision == 0) precision = 1;
        decimal_round(&d, kind == 'g' ? precision : precision + 1);
        int exponent = d.n ? d.point - 1 : 0;
        if (kind == 'g') {
            scientific = exponent < -4 || exponent >= precision;
            precision = MAX(0, scientific ? d.n - 1 : d.n - exponent - 1);
        }
    }
    str prefix = sign_prefix(sp, negative);
    char tail[8];
    int exponent = d.n ? d.point - 1 : 0, point = scientific ? 1 : d.n ? d.point : 1;
    size_t tail_n = 0;
    if (scientific) tail_n = fmt(tail, sizeof tail, "e%c%02d", exponent < 0 ? '-' : '+', MAX(exponent, -exponent));
    int body = MAX(point, 1) + (precision > 0 ? precision + 1 : 0) + (int)tail_n;
    put_lead(s, sp, prefix, body);
    put_fixed(s, &d, point, precision);
    put_bytes(s, tail, tail_n);
    put_trail(s, sp, prefix, body);
}

static int read_count(const char **at, int fallback) {
    if (**at < '0' || **at > '9') return fallback;
    int v = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++) v = MIN(v * 10 + (**at - '0'), FIELD_MAX);
    return v;
}

static void put_string(sink *s, spec *sp, const char *text) {
    if (!text) text = "(null)";
    size_t n = 0, most = sp->precision < 0 ? SIZE_MAX : (size_t)sp->precision;
    while (n < most && text[n]) n++;
    put_text(s, sp, text, n);
}

static void read_flags(const char **at, spec *sp) {
    for (;; (*at)++) {
        if (**at == '-') sp->left = true;
        else if (**at == '0') sp->zero = true;
        else if (**at == '+') sp->sign = '+';
        else if (**at == ' ') sp->sign = sp->sign ? sp->sign : ' ';
        else return;
    }
}

static int size_of_modifier(const char **at) {
    int size = (int)sizeof(int);
    for (;; (*at)++) {
        if (**at == 'h') size = size == (int)sizeof(short) ? 1 : (int)sizeof(short);
        else if (**at == 'l') size = size == (int)sizeof(long) ? (int)sizeof(long long) : (int)sizeof(long);
        else if (**at == 'z') size = (int)sizeof(size_t);
        else if (**at == 't') size = (int)sizeof(ptrdiff_t);
        else if (**at == 'j') size = (int)sizeof(intmax_t);
        else return size;
    }
}

size_t fmt_v(char *buf, size_t cap, const char *format, va_list args_in) {
    ASSERT(cap > 0);
    sink s = {buf, cap, 0};
    va_list args;
    va_copy(args, args_in);
    for (const char *p = format; *p; p++) {
        if (*p != '%') {
            put(&s, *p);
            continue;
        }
        spec sp = {.precision = -1};
        p++;
        read_flags(&p, &sp);
        if (*p == '*') {
            int width = va_arg(args, int);
            sp.left |= width < 0;
            sp.width = (int)MIN(width < 0 ? -(int64_t)width : width, FIELD_MAX);
            p++;
        } else sp.width = read_count(&p, 0);
        if (*p == '.') {
            p++;
            if (*p == '*') {
                sp.precision = va_arg(args, int);
                p++;
            } else sp.precision = read_count(&p, 0);
        }
        bool text = *p == 's'; /* a string's precision is a length in memory: never clipped */
        if (!text) sp.precision = MAX(-1, MIN(sp.precision, FIELD_MAX));
        sp.size = size_of_modifier(&p);
        switch (*p) {
        case 'd':
        case 'i': {
            int64_t v = sp.size == 8 ? va_arg(args, int64_t) : va_arg(args, int);
            if (sp.size == 2) v = (int16_t)v;
            if (sp.size == 1) v = (int8_t)v;
            put_integer(&s, &sp, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, false, sign_prefix(&sp, v < 0));
            break;
        }
        case 'u':
        case 'x':
        case 'X': {
            uint64_t v = sp.size == 8 ? va_arg(args, uint64_t) : va_arg(args, unsigned);
            if (sp.size == 2) v = (uint16_t)v;
            if (sp.size == 1) v = (uint8_t)v;
            put_integer(&s, &sp, v, *p == 'u' ? 10 : 16, *p == 'X', STR(""));
            break;
        }
        case 'p': put_integer(&s, &sp, (uintptr_t)va_arg(args, void *), 16, false, STR("0x")); break;
        case 'f':
        case 'e':
        case 'g': put_double(&s, &sp, va_arg(args, double), *p); break;
        case 'c': {
            char c = (char)va_arg(args, int);
            put_text(&s, &sp, &c, 1);
            break;
        }
        case 's': put_string(&s, &sp, va_arg(args, const char *)); break;
        case '%': put(&s, '%'); break;
        default: assert_failed("a format that fmt knows", format, (int)(p - format));
        }
    }
    va_end(args);
    buf[s.len] = 0;
    return s.len;
}

size_t fmt(char *buf, size_t cap, const char *format, ...) {
    va_list args;
    va_start(args, format);
    size_t n = fmt_v(buf, cap, format, args);
    va_end(args);
    return n;
}

const char *fmt_bytes(char *buf, size_t cap, uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes;
    size_t unit = 0;
    for (; v >= 1023.95 && unit + 1 < COUNT_OF(units); unit++) v /= 1024; /* 1023.95 would print as 1024.0 */
    fmt(buf, cap, unit ? "%.1f %s" : "%.0f %s", v, units[unit]);
    return buf;
}
