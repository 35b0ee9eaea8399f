/* tmpl_ops.c: truth, equality, order and arithmetic as Python has them. Integers are 64 bits wide: what would be longer
 * is an error, never a wrong number.
 */
#include "tmpl/tmpl_int.h"

bool tmpl_truth(render *r, val v) {
    switch (v.kind) {
    case V_MISSING:
    case V_UNDEFINED:
    case V_NONE: return false;
    case V_BOOL: return v.b;
    case V_INT: return v.i != 0;
    case V_FLOAT: return v.f != 0;
    case V_STR: return v.len > 0;
    case V_LIST:
    case V_TUPLE:
    case V_DICT:
    case V_VIEW:
    case V_RANGE: return tmpl_length(r, v) > 0;
    default: return true;
    }
}

/* ---- equality and order ---------------------------------------------------------------------------- */

static bool deeper(render *r) {
    if (r->depth >= TMPL_DEPTH_MAX)
        tmpl_fail(r, ERR_LIMIT, "values or calls are nested more than %d deep", TMPL_DEPTH_MAX);
    r->depth++;
    return tmpl_step(r, 0);
}

static bool equal_dicts(render *r, const val_dict *a, const val_dict *b) {
    if (a->n != b->n) return false;
    for (uint32_t i = 0; i < a->n; i++) {
        const val *other = tmpl_dict_find(r, b, a->at[i].key);
        if (!other || !tmpl_equal(r, a->at[i].value, *other)) return false;
    }
    return true;
}

static bool equal_lists(render *r, const val_list *a, const val_list *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!tmpl_equal(r, a->at[i], b->at[i])) return false;
    return true;
}

/* Exact also where a double cannot hold the integer. */
static int order_whole_float(int64_t i, double f) {
    if (f != f) return 2;
    if (f >= 0x1p63) return -1;
    if (f < -0x1p63) return 1;
    double whole = math_floor(f);
    int64_t w = (int64_t)whole;
    return i < w ? -1 : i > w ? 1 : f > whole ? -1 : 0;
}

/* < 0, 0, > 0; 2 where one is not a number. */
static int order_numbers(val a, val b) {
    if (a.kind == V_FLOAT && b.kind == V_FLOAT)
        return a.f < b.f ? -1 : a.f > b.f ? 1 : a.f == b.f ? 0 : 2;
    if (a.kind == V_FLOAT) {
        int order = order_whole_float(whole_of(b), a.f);
        return order == 2 ? 2 : -order;
    }
    if (b.kind == V_FLOAT) return order_whole_float(whole_of(a), b.f);
    int64_t x = whole_of(a), y = whole_of(b);
    return x < y ? -1 : x > y;
}

bool tmpl_equal(render *r, val a, val b) {
    bool same = false;
    if (is_number(a) && is_number(b)) return order_numbers(a, b) == 0;
    if (a.kind != b.kind) return false;
    if (!deeper(r)) {
        r->depth--;
        return false;
    }
    switch (a.kind) {
    case V_UNDEFINED:
    case V_NONE: same = true; break;
    case V_BIG:
    case V_STR:
        tmpl_step(r, MIN(a.len, b.len));
        same = str_eq(text_of(a), text_of(b));
        break;
    case V_LIST:
    case V_TUPLE: same = equal_lists(r, a.list, b.list); break;
    case V_DICT: same = equal_dicts(r, a.dict, b.dict); break;
    case V_RANGE:
        same = a.range->n == b.range->n && (a.range->n == 0 || (a.range->from == b.range->from &&
                                                                (a.range->n == 1 || a.range->step == b.range->step)));
        break;
    case V_VIEW: same = a.dict == b.dict && a.sub == b.sub && a.sub != VIEW_VALUES; break;
    default: same = a.dict == b.dict; /* one and the same */
    }
    r->depth--;
    return same;
}

static bool cannot(render *r, const char *what, val a, val b) {
    if (a.kind == V_UNDEFINED || b.kind == V_UNDEFINED) tmpl_undefined(r, a.kind == V_UNDEFINED ? a : b);
    else tmpl_fail(r, ERR_FORMAT, "cannot %s a %s and a %s", what, tmpl_type_name(a), tmpl_type_name(b));
    return false;
}

int tmpl_order(render *r, val a, val b) {
    int order = 0;
    if (is_number(a) && is_number(b)) return order_numbers(a, b);
    if (a.kind == V_STR && b.kind == V_STR) {
        tmpl_step(r, MIN(a.len, b.len));
        order = str_cmp(text_of(a), text_of(b));
        return order < 0 ? -1 : order > 0;
    }
    if (a.kind != b.kind || !is_list(a)) {
        cannot(r, "order", a, b);
        return 0;
    }
    if (deeper(r)) {
        size_t n = MIN(a.list->n, b.list->n), i = 0;
        while (i < n && tmpl_equal(r, a.list->at[i], b.list->at[i])) i++;
        if (i < n) order = tmpl_order(r, a.list->at[i], b.list->at[i]);
        else order = a.list->n < b.list->n ? -1 : a.list->n > b.list->n;
    }
    r->depth--;
    return order;
}

bool tmpl_contains(render *r, val in, val item) {
    walk w;
    val each;
    if (in.kind == V_STR) {
        tmpl_step(r, in.len);
        if (item.kind == V_STR) return str_find(text_of(in), text_of(item)) != SIZE_MAX;
        tmpl_fail(r, ERR_FORMAT, "a %s cannot be in a str", tmpl_type_name(item));
        return false;
    }
    if (in.kind == V_DICT || (in.kind == V_VIEW && in.sub == VIEW_KEYS))
        return tmpl_dict_find(r, in.dict, item) != NULL;
    if (!tmpl_walk(r, &w, in)) return false;
    while (tmpl_next(r, &w, &each))
        if (tmpl_equal(r, each, item)) return true;
    return false;
}

/* ---- arithmetic ------------------------------------------------------------------------------------ */

static val too_large(render *r) { return tmpl_fail(r, ERR_UNSUPPORTED, "an integer of more than 64 bits"); }

/* Lists grow like texts: see tmpl_append. */
static val add_lists(render *r, val a, val b) {
    size_t n = a.list->n + b.list->n;
    val out = tmpl_list(r, (val_kind)a.kind, 0);
    if (r->code) return out;
    out.list->at = tmpl_append(r, a.list->at, a.list->n * sizeof(val), b.list->at, b.list->n * sizeof(val));
    out.list->n = n;
    return out;
}

static val add_strings(render *r, val a, val b) {
    if (a.sub == b.sub) return val_text(V_STR, a.sub, tmpl_concat(r, text_of(a), text_of(b)));
    a = tmpl_escape(r, a);
    b = tmpl_escape(r, b);
    return val_text(V_STR, STR_MARKUP, tmpl_concat(r, text_of(a), text_of(b)));
}

val tmpl_add(render *r, val a, val b) {
    int64_t i;
    if (a.kind == V_STR && b.kind == V_STR) return add_strings(r, a, b);
    if (is_list(a) && a.kind == b.kind) return add_lists(r, a, b);
    if (!is_number(a) || !is_number(b)) {
        cannot(r, "add", a, b);
        return VAL_NONE;
    }
    if (a.kind == V_FLOAT || b.kind == V_FLOAT) return val_float(float_of(a) + float_of(b));
    return __builtin_add_overflow(whole_of(a), whole_of(b), &i) ? too_large(r) : val_int(i);
}

/* A text or a list, n times. */
static val repeat(render *r, val a, int64_t n) {
    size_t times = n < 0 ? 0 : (size_t)n, bytes;
    size_t of = a.kind == V_STR ? a.len : a.list->n, size = a.kind == V_STR ? 1 : sizeof(val);
    if (!mul_size(of, size, &of) || !mul_size(times, of, &bytes)) bytes = SIZE_MAX;
    char *at = bytes ? tmpl_alloc(r, bytes, 1) : NULL;
    if (r->code) return VAL_NONE;
    for (size_t i = 0; i < times && of; i++) memcpy(at + i * of, a.kind == V_STR ? a.chars : (void *)a.list->at, of);
    if (a.kind == V_STR) return val_text(V_STR, a.sub, (str){at ? at : "", bytes});
    val out = tmpl_list(r, (val_kind)a.kind, 0);
    if (!r->code) *out.list = (val_list){(void *)at, bytes / sizeof(val)};
    return out;
}

static double float_mod(double a, double b) {
    /* Exact for all but quotients beyond 2^53, by subtracting the largest power-of-two multiples. */
    double rest = math_abs(a), by = math_abs(b);
    if (!(by > 0) || rest - rest != 0) return a - a; /* NaN for infinities */
    if (by - by == 0)
        for (double step; rest >= by; rest -= step)
            for (step = by; step <= rest / 2; step *= 2) {}
    if (a < 0) rest = -rest;
    if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
    return rest == 0 && b < 0 ? -0.0 : rest;
}

static val divide(render *r, int op, val a, val b) {
    if (float_of(b) == 0) return tmpl_fail(r, ERR_FORMAT, "division by zero");
    if (op == '/') return val_float(float_of(a) / float_of(b));
    if (a.kind == V_FLOAT || b.kind == V_FLOAT) {
        double x = float_of(a), y = float_of(b), rest = float_mod(x, y);
        if (op == '%') return val_float(rest);
        double quotient = (x - rest) / y, whole = math_floor(quotient);
        return val_float(quotient - whole > 0.5 ? whole + 1 : whole);
    }
    int64_t x = whole_of(a), y = whole_of(b);
    if (y == -1) return op == '%' ? val_int(0) : tmpl_negate(r, val_int(x));
    int64_t quotient = x / y, rest = x % y;
    if (rest && (rest < 0) != (y < 0)) quotient--, rest += y;
    return val_int(op == '%' ? rest : quotient);
}

static val power(render *r, val a, val b) {
    if (is_whole(a) && is_whole(b) && whole_of(b) >= 0) {
        int64_t base = whole_of(a), n = whole_of(b), out = 1;
        bool over = false;
        for (; n > 0; n /= 2) {
            if (n % 2) over |= __builtin_mul_overflow(out, base, &out);
            if (n > 1) over |= __builtin_mul_overflow(base, base, &base) && base != 0;
            if (over) return too_large(r);
        }
        return val_int(out);
    }
    double x = float_of(a), y = float_of(b);
    if (x == 0 && y < 0) return tmpl_fail(r, ERR_FORMAT, "zero to a negative power");
    if (y == 0) return val_float(1);
    if (x == 0) return val_float(0);
    bool whole = math_floor(y) == y && math_abs(y) < 0x1p53;
    if (x < 0 && !whole) return tmpl_fail(r, ERR_UNSUPPORTED, "a complex number");
    if (whole && math_abs(y) <= 64) { /* small whole powers are exact where the product is */
        double out = 1;
        for (int n = (int)math_abs(y); n > 0; n--) out *= x;
        return val_float(y < 0 ? 1 / out : out);
    }
    double out = math_pow(math_abs(x), y);
    return val_float(x < 0 && (int64_t)y % 2 ? -out : out);
}

static val subtract_or_multiply(render *r, int op, val a, val b) {
    int64_t i;
    if (a.kind == V_FLOAT || b.kind == V_FLOAT)
        return val_float(op == '-' ? float_of(a) - float_of(b) : float_of(a) * float_of(b));
    bool over = op == '-' ? __builtin_sub_overflow(whole_of(a), whole_of(b), &i)
                          : __builtin_mul_overflow(whole_of(a), whole_of(b), &i);
    return over ? too_large(r) : val_int(i);
}

val tmpl_binary(render *r, int op, val a, val b) {
    if (op == '+') return tmpl_add(r, a, b);
    if (op == '%' && a.kind == V_STR) return tmpl_percent(r, text_of(a), b);
    if (op == '*' && (a.kind == V_STR || is_list(a)) && is_whole(b)) return repeat(r, a, whole_of(b));
    if (op == '*' && (b.kind == V_STR || is_list(b)) && is_whole(a)) return repeat(r, b, whole_of(a));
    if (!is_number(a) || !is_number(b)) {
        cannot(r, op == '-' ? "subtract" : op == '*' ? "multiply" : "divide", a, b);
        return VAL_NONE;
    }
    if (op == OP_POW) return power(r, a, b);
    return op == '-' || op == '*' ? subtract_or_multiply(r, op, a, b) : divide(r, op, a, b);
}

val tmpl_negate(render *r, val a) {
    int64_t i;
    if (a.kind == V_FLOAT) return val_float(-a.f);
    if (!is_whole(a)) {
        cannot(r, "negate", a, a);
        return VAL_NONE;
    }
    return __builtin_sub_overflow((int64_t)0, whole_of(a), &i) ? too_large(r) : val_int(i);
}
