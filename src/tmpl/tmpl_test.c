/* tmpl_test.c: what may follow `is`, and the functions that every template has: range, namespace, dict,
 * raise_exception, strftime_now.
 */
#include "tmpl/tmpl_filters.h"
#include "uni/uni.h"

#define TEST(name, condition)                                                                       \
    static val test_##name(render *r, const call *c, const val *p) {                                \
        val v = c->self;                                                                            \
        (void)r, (void)p, (void)v;                                                                  \
        return val_bool(condition);                                                                 \
    }

TEST(defined, v.kind != V_UNDEFINED)
TEST(undefined, v.kind == V_UNDEFINED)
TEST(none, v.kind == V_NONE)
TEST(boolean, v.kind == V_BOOL)
TEST(true, v.kind == V_BOOL && v.b)
TEST(false, v.kind == V_BOOL && !v.b)
TEST(integer, v.kind == V_INT || v.kind == V_BIG)
TEST(float, v.kind == V_FLOAT)
TEST(number, is_number(v) || v.kind == V_BIG)
TEST(string, v.kind == V_STR)
TEST(mapping, v.kind == V_DICT)
TEST(sequence, v.kind == V_STR || is_list(v) || v.kind == V_DICT || v.kind == V_RANGE || v.kind == V_UNDEFINED)
TEST(iterable, tmpl_iterable(v) || v.kind == V_LOOP)
TEST(callable, v.kind >= V_LOOP || v.kind == V_UNDEFINED)
TEST(escaped, v.kind == V_STR && v.sub == STR_MARKUP)
TEST(in, tmpl_contains(r, p[0], v))
TEST(equal, tmpl_equal(r, v, p[0]))
TEST(not_equal, !tmpl_equal(r, v, p[0]))
TEST(filter, v.kind == V_STR && tmpl_find_filter(text_of(v)) != NULL)
TEST(test, v.kind == V_STR && tmpl_find_test(text_of(v)) != NULL)
TEST(sameas, v.kind == p[0].kind && tmpl_equal(r, v, p[0]) && (v.kind < V_LIST || v.dict == p[0].dict))

static bool at_least(int order) { return order == 0 || order == 1; }
TEST(less, tmpl_order(r, v, p[0]) < 0)
TEST(greater, tmpl_order(r, v, p[0]) == 1)
TEST(at_most, tmpl_order(r, v, p[0]) <= 0)
TEST(at_least, at_least(tmpl_order(r, v, p[0])))

/* Only letters in one case, and one at least. */
static bool all_in_case(render *r, val v, bool upper) {
    str s = tmpl_text(r, v);
    bool any = false;
    size_t len;
    for (size_t i = 0; i < s.len; i += len) {
        uint32_t cp = utf8_decode(s.ptr + i, s.len - i, &len);
        bool is_upper = uni_lower(cp) != cp, is_lower = !is_upper && (uni_upper(cp) != cp || cp == 0xDF);
        if (upper ? is_lower : is_upper) return false;
        any |= is_upper || is_lower;
    }
    return any;
}
TEST(lower, all_in_case(r, v, false))
TEST(upper, all_in_case(r, v, true))

static val remainder_is(render *r, val v, val by, int64_t wanted) {
    if (v.kind == V_UNDEFINED) return tmpl_undefined(r, v);
    val rest = tmpl_binary(r, '%', v, by);
    return val_bool(!r->code && tmpl_equal(r, rest, val_int(wanted)));
}
static val test_odd(render *r, const call *c, const val *p) {
    (void)p;
    return remainder_is(r, c->self, val_int(2), 1);
}
static val test_even(render *r, const call *c, const val *p) {
    (void)p;
    return remainder_is(r, c->self, val_int(2), 0);
}
static val test_divisibleby(render *r, const call *c, const val *p) { return remainder_is(r, c->self, p[0], 0); }

static const callable tests[] = {
    {"defined", ARGS(0, 0), NULL, test_defined},
    {"undefined", ARGS(0, 0), NULL, test_undefined},
    {"none", ARGS(0, 0), NULL, test_none},
    {"string", ARGS(0, 0), NULL, test_string},
    {"mapping", ARGS(0, 0), NULL, test_mapping},
    {"sequence", ARGS(0, 0), NULL, test_sequence},
    {"iterable", ARGS(0, 0), NULL, test_iterable},
    {"number", ARGS(0, 0), NULL, test_number},
    {"integer", ARGS(0, 0), NULL, test_integer},
    {"float", ARGS(0, 0), NULL, test_float},
    {"boolean", ARGS(0, 0), NULL, test_boolean},
    {"true", ARGS(0, 0), NULL, test_true},
    {"false", ARGS(0, 0), NULL, test_false},
    {"odd", ARGS(0, 0), NULL, test_odd},
    {"even", ARGS(0, 0), NULL, test_even},
    {"divisibleby", ARGS(1, 1), "num", test_divisibleby},
    {"lower", ARGS(0, 0), NULL, test_lower},
    {"upper", ARGS(0, 0), NULL, test_upper},
    {"callable", ARGS(0, 0), NULL, test_callable},
    {"escaped", ARGS(0, 0), NULL, test_escaped},
    {"sameas", ARGS(1, 1), "other", test_sameas},
    {"in", ARGS(1, 1), "seq", test_in},
    {"filter", ARGS(0, 0), NULL, test_filter},
    {"test", ARGS(0, 0), NULL, test_test},
    {"equalto", ARGS(1, 1), NULL, test_equal},
    {"eq", ARGS(1, 1), NULL, test_equal},
    {"==", ARGS(1, 1), NULL, test_equal},
    {"ne", ARGS(1, 1), NULL, test_not_equal},
    {"!=", ARGS(1, 1), NULL, test_not_equal},
    {"lt", ARGS(1, 1), NULL, test_less},
    {"lessthan", ARGS(1, 1), NULL, test_less},
    {"<", ARGS(1, 1), NULL, test_less},
    {"gt", ARGS(1, 1), NULL, test_greater},
    {"greaterthan", ARGS(1, 1), NULL, test_greater},
    {">", ARGS(1, 1), NULL, test_greater},
    {"le", ARGS(1, 1), NULL, test_at_most},
    {"<=", ARGS(1, 1), NULL, test_at_most},
    {"ge", ARGS(1, 1), NULL, test_at_least},
    {">=", ARGS(1, 1), NULL, test_at_least},
};

const callable *tmpl_find_test(str name) { return tmpl_find_row(tests, COUNT_OF(tests), name); }

bool tmpl_test_row(render *r, const callable *row, const call *c) {
    val v = tmpl_run_row(r, row, c);
    return !r->code && tmpl_truth(r, v);
}

/* ---- functions ------------------------------------------------------------------------------------- */

bool tmpl_want_int(render *r, val v, int64_t *out) {
    if (v.kind == V_UNDEFINED) tmpl_undefined(r, v);
    else if (!is_whole(v)) tmpl_fail(r, ERR_FORMAT, "wanted an int, seen %s", tmpl_type_name(v));
    else *out = whole_of(v);
    return !r->code;
}

static val run_range(render *r, const call *c, const val *p) {
    int64_t from = 0, to = 0, step = 1;
    (void)c;
    if (!tmpl_want_int(r, p[0], p[1].kind == V_MISSING ? &to : &from)) return VAL_NONE;
    if (p[1].kind != V_MISSING && !tmpl_want_int(r, p[1], &to)) return VAL_NONE;
    if (p[2].kind != V_MISSING && !tmpl_want_int(r, p[2], &step)) return VAL_NONE;
    if (step == 0) return tmpl_fail(r, ERR_FORMAT, "a range with step zero");
    uint64_t span = step > 0 ? (uint64_t)to - (uint64_t)from : (uint64_t)from - (uint64_t)to;
    uint64_t by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    bool empty = step > 0 ? to <= from : to >= from;
    uint64_t n = empty ? 0 : (span - 1) / by + 1;
    if (n > TMPL_RANGE_MAX) return tmpl_fail(r, ERR_FORMAT, "a range of more than %d items", TMPL_RANGE_MAX);
    val_range *x = tmpl_alloc(r, 1, sizeof *x);
    if (!x) return VAL_NONE;
    *x = (val_range){from, to, step, (size_t)n};
    return (val){.kind = V_RANGE, .range = x};
}

/* dict(pairs or dict, name=value ...). */
static val run_dict(render *r, const call *c, const val *p) {
    val_dict *d = tmpl_dict(r);
    walk w, pair;
    val item, key, value;
    (void)p;
    if (r->code || c->n > 1) return tmpl_fail(r, ERR_FORMAT, "dict takes one argument by place");
    if (c->n && c->at[0].kind == V_DICT) {
        for (uint32_t i = 0; i < c->at[0].dict->n; i++)
            tmpl_dict_put(r, d, c->at[0].dict->at[i].key, c->at[0].dict->at[i].value);
    } else if (c->n && tmpl_walk(r, &w, c->at[0])) {
        while (tmpl_next(r, &w, &item)) {
            if (!tmpl_walk(r, &pair, item)) break;
            bool two = tmpl_next(r, &pair, &key) && tmpl_next(r, &pair, &value) && !tmpl_next(r, &pair, &item);
            if (!two) tmpl_fail(r, ERR_FORMAT, "dict wants pairs of key and value");
            tmpl_dict_put(r, d, key, value);
        }
    }
    for (size_t i = 0; i < c->n_named && !r->code; i++)
        tmpl_dict_put(r, d, val_str(c->named[i].name), c->named[i].value);
    return (val){.kind = V_DICT, .dict = d};
}

static val run_namespace(render *r, const call *c, const val *p) {
    val v = run_dict(r, c, p);
    v.kind = r->code ? V_NONE : V_SPACE;
    return v;
}

/* The whole error is the template's own message. */
static val run_raise(render *r, const call *c, const val *p) {
    str s = tmpl_text(r, p[0]);
    (void)c;
    size_t room = sizeof r->e->text - 1;
    if (s.len > room) s.len = utf8_complete(s.ptr, room);
    if (!r->code) r->code = ERR(r->e, ERR_ARGUMENT, "%.*s", (int)s.len, s.ptr);
    return VAL_NONE;
}

static val run_strftime(render *r, const call *c, const val *p) {
    (void)c;
    if (p[0].kind != V_STR) return tmpl_fail(r, ERR_FORMAT, "strftime_now wants a str, seen %s", tmpl_type_name(p[0]));
    return tmpl_strftime(r, text_of(p[0]));
}

static const callable functions[] = {
    {"namespace", ARGS(0, CALL_ANY), NULL, run_namespace},
    {"raise_exception", ARGS(1, 1), "message", run_raise},
    {"range", ARGS(1, 3), NULL, run_range},
    {"strftime_now", ARGS(1, 1), "format", run_strftime},
    {"dict", ARGS(0, CALL_ANY), NULL, run_dict},
};

const callable *tmpl_find_function(str name) { return tmpl_find_row(functions, COUNT_OF(functions), name); }
