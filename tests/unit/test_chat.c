/* Chats through include/leat.h: prompts from messages, prefixes that are kept, answers parted into reasoning and text,
 * sessions saved and read back, also damaged ones.
 */
#include "check.h"
#include "leat.h"
#include "mem/mem.h"
#include "plat/fault/fault.h"

#include <string.h>
#include <unistd.h>

#define SAMPLE "sample/sample.gguf"
#define TEXT(s) {s, sizeof(s) - 1}

static leat_model *open_model(void) {
    leat_model *m;
    leat_error e;
    CHECK_MSG(leat_model_open(&m, SAMPLE, NULL, &e) == LEAT_OK, "%s", e.text);
    return m;
}

static leat_session *open_session(leat_model *m, int32_t n_ctx) {
    leat_session *s;
    leat_error e;
    leat_session_options o = {.n_ctx = n_ctx, .n_threads = 2};
    CHECK_MSG(leat_session_open(&s, m, &o, &e) == LEAT_OK, "%s", e.text);
    return s;
}

static leat_chat *open_chat(leat_model *m, const char *from) {
    leat_chat *c;
    leat_error e;
    CHECK_MSG(leat_chat_open(&c, m, from, &e) == LEAT_OK, "%s", e.text);
    return c;
}

static leat_chat_prompt render(leat_chat *c, const char *messages, const leat_session *s) {
    leat_chat_prompt p;
    leat_error e;
    leat_chat_input in = {.messages = {messages, strlen(messages)}, .now_s = 1};
    CHECK_MSG(leat_chat_render(c, &in, s, &p, &e) == LEAT_OK, "%s", e.text);
    return p;
}

TEST(chat_prompt_has_one_bos_and_is_the_template_s) {
    leat_model *m = open_model();
    static const char *const from[] = {NULL, "chatml", "{{ bos_token }}{{ messages[0].content }}"};
    for (size_t i = 0; i < COUNT_OF(from); i++) {
        leat_chat *c = open_chat(m, from[i]);
        leat_chat_prompt p = render(c, "[{\"role\":\"user\",\"content\":\"Who are you?\"}]", NULL);
        CHECK(p.n_tokens > 2 && p.tokens[0] == leat_bos(m) && p.tokens[1] != leat_bos(m));
        CHECK(strstr(p.text, "Who are you?") && !p.reasoning);
        CHECK_STR(leat_chat_warning(c), "");
        leat_chat_close(c);
    }
    leat_model_close(m);
}

TEST(chat_says_what_is_wrong) {
    leat_model *m = open_model();
    leat_chat *c;
    leat_error e;
    leat_chat_prompt p;
    CHECK_EQ(leat_chat_open(&c, m, "no-such-name", &e), LEAT_ARGUMENT);
    CHECK(strstr(e.text, "no-such-name"));
    CHECK_EQ(leat_chat_open(&c, m, "{% if %}", &e), LEAT_FORMAT);
    c = open_chat(m, "{{ raise_exception('not so') }}");
    leat_chat_input in = {.messages = TEXT("[{\"role\":\"user\",\"content\":\"x\"}]")};
    CHECK_EQ(leat_chat_render(c, &in, NULL, &p, &e), LEAT_ARGUMENT);
    CHECK_STR(e.text, "not so");
    in.messages = (leat_text)TEXT("[{");
    CHECK_EQ(leat_chat_render(c, &in, NULL, &p, &e), LEAT_FORMAT);
    CHECK(strstr(e.text, "messages"));
    in.messages = (leat_text)TEXT("{}");
    CHECK_EQ(leat_chat_render(c, &in, NULL, &p, &e), LEAT_FORMAT);
    leat_chat_close(c);
    /* What only jinja2 has gives way to the built-in that the template looks like. */
    c = open_chat(m, "<|im_start|>{% include 'x' %}");
    CHECK(strstr(leat_chat_warning(c), "chatml"));
    p = render(c, "[{\"role\":\"user\",\"content\":\"Hello\"}]", NULL);
    CHECK(!strncmp(p.text, "<|im_start|>user\nHello", 22));
    leat_chat_close(c);
    /* When rendering shows it, for that render only; what it looks like nobody knows. */
    c = open_chat(m, "{{ messages[0].content | int + 1 }}");
    p = render(c, "[{\"role\":\"user\",\"content\":\"7\"}]", NULL);
    CHECK_STR(p.text, "8");
    CHECK_STR(leat_chat_warning(c), "");
    p = render(c, "[{\"role\":\"user\",\"content\":\"9223372036854775807\"}]", NULL);
    CHECK(!strncmp(p.text, "<|im_start|>user\n9223", 21));
    CHECK(strstr(leat_chat_warning(c), "64 bits: not supported; rendered with the built-in template 'chatml'"));
    p = render(c, "[{\"role\":\"user\",\"content\":\"7\"}]", NULL);
    CHECK_STR(p.text, "8");
    leat_chat_close(c);
    leat_model_close(m);
}

/* ---- reasoning ---- */

typedef struct parts {
    char at[2][512];
    size_t n[2];
} parts;

static void put_part(void *user, bool reasoning, const char *bytes, size_t n) {
    parts *p = user;
    memcpy(p->at[reasoning] + p->n[reasoning], bytes, n);
    p->n[reasoning] += n;
    p->at[reasoning][p->n[reasoning]] = 0;
}

static void part(leat_model *m, leat_chat *c, bool reasoning, const char *answer, const char *thought,
                 const char *text) {
    int32_t ids[512];
    size_t n;
    leat_error e;
    parts p = {{{0}}, {0}};
    CHECK_EQ(leat_tokenize(m, answer, strlen(answer), false, true, ids, 512, &n, &e), LEAT_OK);
    leat_answer_begin(c, reasoning);
    for (size_t i = 0; i < n; i++) leat_answer_token(c, ids[i], put_part, &p);
    leat_answer_end(c, put_part, &p);
    const char *seen = p.at[0];
    while (*seen == ' ' && *text != ' ') seen++; /* the tokenizer's own space at the start */
    CHECK_STR(p.at[1], thought);
    CHECK_STR(seen, text);
}

TEST(chat_parts_reasoning_from_text) {
    leat_model *m = open_model();
    leat_chat *c = open_chat(m, "{{ messages[0].content.split('</think>')[0] }}<think>\n");
    CHECK(render(c, "[{\"role\":\"user\",\"content\":\"x\"}]", NULL).reasoning);
    part(m, c, true, "I think\n</think>\n\nyes", "I think\n", "yes");
    part(m, c, false, "<think>\nhm</think> a < b </thin", "hm", "a < b </thin");
    part(m, c, false, "a </think> b <thi", "", "a </think> b <thi");
    leat_chat_close(c);
    c = open_chat(m, "{{ '<|channel|>' }}");
    part(m, c, false, "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>yes", "hm",
         "yes");
    leat_chat_close(c);
    c = open_chat(m, NULL);
    part(m, c, false, "no <think>tags</think> here", "", "no <think>tags</think> here");
    leat_chat_close(c);
    leat_model_close(m);
}

/* ---- prefixes ---- */

static void feed(leat_session *s, const int32_t *ids, size_t n, leat_role role) {
    leat_error e;
    CHECK_MSG(leat_feed(s, ids, n, role, &e) == LEAT_OK, "%s", e.text);
}

TEST(chat_session_keeps_a_common_prefix) {
    leat_model *m = open_model();
    leat_session *a = open_session(m, 256), *b = open_session(m, 256);
    size_t kept, n_vocab = (size_t)leat_model_n_vocab(m);
    leat_error e;
    int32_t ids[40];
    for (int i = 0; i < 40; i++) ids[i] = 300 + i;
    feed(a, ids, 20, LEAT_PROMPT);
    feed(a, ids + 20, 5, LEAT_GENERATED);
    CHECK_EQ(leat_reuse(a, ids, 25, false, &kept, &e), LEAT_OK);
    CHECK_EQ(kept, 24); /* the last one is computed again */
    CHECK_EQ(leat_session_length(a), 24);
    CHECK(!leat_logits(a) && !memcmp(leat_session_tokens(a), ids, 24 * sizeof *ids));
    CHECK_EQ(leat_reuse(a, ids, 40, true, &kept, &e), LEAT_OK);
    CHECK_EQ(kept, 20); /* not what was generated */
    feed(a, ids + kept, 40 - kept, LEAT_PROMPT);
    feed(b, ids, 40, LEAT_PROMPT);
    CHECK(!memcmp(leat_logits(a), leat_logits(b), n_vocab * sizeof(float)));
    CHECK_EQ(leat_reuse(a, ids + 1, 5, false, &kept, &e), LEAT_OK);
    CHECK_EQ(kept, 0);
    CHECK_EQ(leat_reuse(a, ids, 0, false, &kept, &e), LEAT_ARGUMENT);
    leat_session_close(a);
    leat_session_close(b);
    leat_model_close(m);
}

/* An answer that was cut into other tokens than the tokenizer's is taken as it is held. */
TEST(chat_prompt_takes_the_tokens_of_the_answer) {
    leat_model *m = open_model();
    leat_chat *c = open_chat(m, "{% for x in messages %}[{{ x.content }}]{% endfor %}");
    leat_session *s = open_session(m, 256);
    leat_error e;
    leat_chat_prompt p = render(c, "[{\"role\":\"user\",\"content\":\"Hello\"}]", NULL);
    feed(s, p.tokens, p.n_tokens, LEAT_PROMPT);
    size_t n_prompt = p.n_tokens, n = 0, kept;
    int32_t ids[64], odd[64];
    static const char *const letters[] = {"[", "t", "h", "e", "r", "e"};
    for (size_t i = 0; i < COUNT_OF(letters); i++) { /* the tokens of single letters, as they are in running text */
        CHECK_EQ(leat_tokenize(m, letters[i], 1, false, false, ids, 64, &n, &e), LEAT_OK);
        odd[i] = ids[n - 1];
        char piece[8];
        CHECK(leat_piece(m, odd[i], false, piece, 8) == 1 && piece[0] == letters[i][0]);
    }
    feed(s, odd, COUNT_OF(letters), LEAT_GENERATED);
    static const char all[] = "[{\"role\":\"user\",\"content\":\"Hello\"},"
                              "{\"role\":\"assistant\",\"content\":\"there\"},"
                              "{\"role\":\"user\",\"content\":\"and more\"}]";
    p = render(c, all, NULL);
    CHECK(p.n_tokens < sizeof all);
    CHECK_EQ(leat_reuse(s, p.tokens, p.n_tokens, false, &kept, &e), LEAT_OK);
    CHECK(kept < n_prompt + COUNT_OF(letters)); /* so the tokenizer cuts it otherwise: else nothing is tested */
    feed(s, p.tokens, n_prompt, LEAT_PROMPT);
    CHECK_EQ(leat_rewind(s, 0, &e), LEAT_OK);
    p = render(c, "[{\"role\":\"user\",\"content\":\"Hello\"}]", NULL);
    feed(s, p.tokens, p.n_tokens, LEAT_PROMPT);
    feed(s, odd, COUNT_OF(letters), LEAT_GENERATED);
    p = render(c, all, s);
    CHECK_EQ(leat_reuse(s, p.tokens, p.n_tokens, false, &kept, &e), LEAT_OK);
    CHECK_EQ(kept, n_prompt + COUNT_OF(letters));
    leat_session_close(s);
    leat_chat_close(c);
    leat_model_close(m);
}

/* ---- files ---- */

static void save(const leat_session *s, const char *path) {
    leat_error e;
    CHECK_MSG(leat_session_save(s, path, "a note", 6, &e) == LEAT_OK, "%s", e.text);
}

TEST(chat_session_saved_goes_on_with_the_same_bits) {
    leat_model *m = open_model();
    leat_session *a = open_session(m, 256), *b = open_session(m, 192), *small = open_session(m, 64);
    leat_error e;
    size_t bytes, n_vocab = (size_t)leat_model_n_vocab(m);
    char note[16];
    int32_t ids[100];
    const char *path = test_path(0, "session.kv");
    for (int i = 0; i < 100; i++) ids[i] = 300 + 3 * i;
    feed(a, ids, 80, LEAT_PROMPT);
    feed(a, ids + 80, 10, LEAT_GENERATED);
    save(a, path);
    CHECK_EQ(leat_saved_note(path, note, sizeof note, &bytes, &e), LEAT_OK);
    CHECK(bytes == 6 && !memcmp(note, "a note", 6));
    CHECK_MSG(leat_session_load(b, path, &e) == LEAT_OK, "%s", e.text);
    CHECK_EQ(leat_session_length(b), 90);
    CHECK(!memcmp(leat_session_tokens(b), ids, 90 * sizeof *ids));
    feed(a, ids + 90, 10, LEAT_PROMPT);
    feed(b, ids + 90, 10, LEAT_PROMPT);
    CHECK(!memcmp(leat_logits(a), leat_logits(b), n_vocab * sizeof(float)));
    CHECK_EQ(leat_session_load(small, path, &e), LEAT_LIMIT);
    CHECK_EQ(leat_session_length(small), 0);
    leat_session_options scalar = {.n_ctx = 192, .isa = "scalar"};
    leat_session *other;
    CHECK_EQ(leat_session_open(&other, m, &scalar, &e), LEAT_OK);
    if (strcmp(leat_session_isa(b), "scalar")) CHECK_EQ(leat_session_load(other, path, &e), LEAT_UNSUPPORTED);
    leat_session_close(other);
    CHECK_EQ(leat_session_load(b, test_path(1, "absent.kv"), &e), LEAT_IO);
    CHECK_EQ(leat_session_length(b), 100); /* refused, it is as before */
    CHECK(leat_logits(b) && !memcmp(leat_logits(a), leat_logits(b), n_vocab * sizeof(float)));
    leat_session_close(a);
    leat_session_close(b);
    leat_session_close(small);
    leat_model_close(m);
}

TEST(chat_session_files_that_are_damaged_are_refused) {
    leat_model *m = open_model();
    leat_session *s = open_session(m, 128);
    leat_error e;
    size_t bytes;
    int32_t ids[70];
    const char *path = test_path(0, "damaged.kv"), *whole = test_path(1, "whole.kv");
    for (int i = 0; i < 70; i++) ids[i] = 300 + i;
    feed(s, ids, 70, LEAT_PROMPT);
    save(s, whole);
    unsigned char *data = test_slurp(whole, &bytes);
    for (size_t i = 0; i < 400; i++) {
        size_t at = i < 200 ? i : i * (bytes / 400); /* every byte of the head, and some of the rest */
        FILE *f = fopen(path, "wb");
        data[at] ^= 0x41;
        CHECK(f && fwrite(data, 1, bytes, f) == bytes && fclose(f) == 0);
        data[at] ^= 0x41;
        leat_code code = leat_session_load(s, path, &e);
        CHECK_MSG(code == LEAT_FORMAT || code == LEAT_UNSUPPORTED, "byte %zu changed: code %d", at, code);
    }
    for (size_t n = 0; n < bytes; n += bytes / 50 + 1) {
        CHECK(truncate(path, (off_t)n) == 0);
        CHECK_EQ(leat_session_load(s, path, &e), LEAT_FORMAT);
    }
    free(data);
    CHECK_MSG(leat_session_load(s, whole, &e) == LEAT_OK, "%s", e.text);
    CHECK_EQ(leat_session_length(s), 70);
    leat_session_close(s);
    leat_model_close(m);
}

/* The model's file, of 64 MiB with what stands behind its weights, and one letter of the header changed. */
static leat_model *open_changed(const char *path, size_t letter) {
    size_t bytes;
    leat_model *m;
    leat_error e;
    unsigned char *data = test_slurp(SAMPLE, &bytes);
    FILE *f = fopen(path, "wb");
    if (letter) data[letter] ^= 1;
    CHECK(f && fwrite(data, 1, bytes, f) == bytes && fclose(f) == 0 && !truncate(path, 64 << 20));
    free(data);
    CHECK_MSG(leat_model_open(&m, path, NULL, &e) == LEAT_OK, "%s", e.text);
    return m;
}

TEST(chat_session_is_of_a_model_with_the_same_keys) {
    enum { SAMPLED = 4096 }; /* of the header, by what tells models apart */
    static const char key[] = "tokenizer.ggml.scores";
    size_t bytes, at = SAMPLED;
    unsigned char *data = test_slurp(SAMPLE, &bytes);
    while (at < bytes && memcmp(data + at, key, sizeof key - 1)) at++;
    CHECK_MSG(at < bytes / 2, "no %s in %s", key, SAMPLE);
    at += sizeof key - 1 + 4 + 4 + 8 + 4 * 700; /* the lowest bits of a token's score */
    free(data);
    const char *path = test_path(0, "changed.kv");
    for (size_t letter = 0; letter <= at; letter += at) {
        leat_model *m = open_changed(test_path(1, "changed.gguf"), letter);
        leat_session *s = open_session(m, 16);
        leat_error e;
        feed(s, &(int32_t){300}, 1, LEAT_PROMPT);
        if (!letter) save(s, path);
        CHECK_EQ(leat_session_load(s, path, &e), letter ? LEAT_UNSUPPORTED : LEAT_OK);
        leat_session_close(s);
        leat_model_close(m);
    }
    remove(test_path(1, "changed.gguf"));
}

TEST(chat_session_is_not_saved_while_its_model_ends_early) {
    leat_model *m = open_model(), *again = open_model();
    leat_session *s = open_session(m, 128), *other = open_session(again, 128);
    leat_error e;
    const char *path = test_path(0, "early.kv");
    feed(s, &(int32_t){300}, 1, LEAT_PROMPT);
    fault_arm(&(fault_plan){.seed = 3, .read_short = 1, .fail_at = -1});
    leat_code code = leat_session_save(s, path, "", 0, &e);
    fault_arm(NULL);
    CHECK_EQ(code, LEAT_IO);
    CHECK_MSG(strstr(e.text, "ends early"), "%s", e.text);
    save(s, path); /* it was but for a moment */
    CHECK_MSG(leat_session_load(other, path, &e) == LEAT_OK, "%s", e.text);
    leat_session_close(s);
    leat_session_close(other);
    leat_model_close(m);
    leat_model_close(again);
}

TEST(chat_session_that_cannot_be_written_leaves_the_old_file) {
    leat_model *m = open_model();
    leat_session *s = open_session(m, 128);
    leat_error e;
    int32_t ids[2] = {300, 301};
    const char *path = test_path(0, "kept.kv");
    feed(s, ids, 1, LEAT_PROMPT);
    save(s, path);
    feed(s, ids + 1, 1, LEAT_PROMPT);
    fault_plan plan = {.seed = 3, .write_error = 1, .fail_at = -1};
    fault_arm(&plan);
    leat_code code = leat_session_save(s, path, "", 0, &e);
    fault_arm(NULL);
    CHECK_EQ(code, LEAT_IO);
    CHECK_EQ(leat_session_load(s, path, &e), LEAT_OK);
    CHECK_EQ(leat_session_length(s), 1);
    leat_session_close(s);
    leat_model_close(m);
}
