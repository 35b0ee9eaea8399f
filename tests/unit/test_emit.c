/* What `leat run` holds back: stop strings that span pieces, unfinished characters. */
#include "check.h"
#include "emit/emit.h"

typedef struct sink {
    char text[256];
    size_t n;
} sink;

static void take(void *user, const char *bytes, size_t n) {
    sink *s = user;
    CHECK(s->n + n < sizeof s->text);
    memcpy(s->text + s->n, bytes, n);
    s->n += n;
    s->text[s->n] = 0;
}

typedef struct stop_list {
    const char *at[4];
    size_t n;
} stop_list;

static err_code open_with(emit *m, const stop_list *list, str at[4]) {
    for (size_t i = 0; i < list->n; i++) at[i] = str_of(list->at[i]);
    return emit_open(m, at, list->n, 64, NULL);
}

/* Feeds the pieces (a NULL ends them); what reaches the sink. *stopped: which piece completed a stop string, or -1. */
static const char *emitted(sink *s, const stop_list *stops, const char *const *pieces, int *stopped) {
    emit m = {.write = take, .user = s};
    str at[4];
    memset(s, 0, sizeof *s);
    *stopped = -1;
    CHECK_EQ(open_with(&m, stops, at), ERR_NONE);
    for (int i = 0; pieces[i] && *stopped < 0; i++)
        if (emit_piece(&m, pieces[i], strlen(pieces[i]))) *stopped = i;
    emit_end(&m);
    emit_close(&m);
    return s->text;
}

static const stop_list no_stops;
#define PIECES(...) ((const char *const[]){__VA_ARGS__, NULL})

TEST(emit_without_stops_passes_text) {
    sink s;
    int at;
    CHECK_STR(emitted(&s, &no_stops, PIECES("one", "", " two"), &at), "one two");
    CHECK_EQ(at, -1);
}

TEST(emit_stop_inside_one_piece) {
    sink s;
    int at;
    CHECK_STR(emitted(&s, &(stop_list){{"END"}, 1}, PIECES("ab", "cENDd", "e"), &at), "abc");
    CHECK_EQ(at, 1);
}

TEST(emit_stop_across_pieces_does_not_leak) {
    sink s;
    int at;
    stop_list stops = {{"\n\nUser:"}, 1};
    CHECK_STR(emitted(&s, &stops, PIECES("Hi.", "\n", "\nUs", "er", ":", "x"), &at), "Hi.");
    CHECK_EQ(at, 4);
    /* A beginning that was none. */
    CHECK_STR(emitted(&s, &stops, PIECES("Hi.", "\n", "\nUs", "ed"), &at), "Hi.\n\nUsed");
    CHECK_EQ(at, -1);
    CHECK_STR(emitted(&s, &stops, PIECES("Hi.", "\n\nUs"), &at), "Hi.\n\nUs"); /* the text ends within it */
}

TEST(emit_first_of_several_stops_wins) {
    sink s;
    int at;
    CHECK_STR(emitted(&s, &(stop_list){{"dog", "cat"}, 2}, PIECES("a c", "at and a dog"), &at), "a ");
    CHECK_EQ(at, 1);
    CHECK_STR(emitted(&s, &(stop_list){{"aab"}, 1}, PIECES("a", "a", "a", "b"), &at), "a"); /* overlaps itself */
}

TEST(emit_writes_whole_characters_only) {
    sink s;
    emit m = {.write = take, .user = &s};
    memset(&s, 0, sizeof s);
    CHECK_EQ(emit_open(&m, NULL, 0, 64, NULL), ERR_NONE);
    emit_piece(&m, "\xf0\x9f", 2);
    CHECK_EQ(s.n, 0);
    emit_piece(&m, "\x98\x80z", 3);
    CHECK_STR(s.text, "\xf0\x9f\x98\x80z");
    emit_piece(&m, "\xc3", 1);
    emit_end(&m); /* never finished: dropped */
    CHECK_EQ(s.n, 5);
    emit_close(&m);
}

TEST(emit_stop_may_end_inside_a_character) {
    sink s;
    emit m = {.write = take, .user = &s};
    stop_list stops = {{"\xc3\xa9!"}, 1};
    str at[4];
    memset(&s, 0, sizeof s);
    CHECK_EQ(open_with(&m, &stops, at), ERR_NONE);
    CHECK(!emit_piece(&m, "caf\xc3", 4));
    CHECK_STR(s.text, "caf");
    CHECK(!emit_piece(&m, "\xa9", 1));
    CHECK_STR(s.text, "caf");
    CHECK(emit_piece(&m, "!", 1));
    CHECK_STR(s.text, "caf");
    emit_close(&m);
}
