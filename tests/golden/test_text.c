/* test_text.c: a trained model, where ../shared is at hand: the text that libllama continues a prompt with, and its
 * perplexity. Both taken from llama.cpp 0.5.0; the text is greedy, the perplexity llama-perplexity's of 20 chunks.
 */
#include "check.h"
#include "leat.h"

#include <math.h>
#include <string.h>

static leat_model *open_shared(const char *name) {
    char path[256];
    leat_model *model;
    leat_error e;
    if (!test_shared()) test_skip("no ../shared");
    snprintf(path, sizeof path, "%s/golden/models/%s", test_shared(), name);
    CHECK_MSG(!leat_model_open(&model, path, NULL, &e), "%s", e.text);
    return model;
}

static leat_session *session_of(leat_model *model) {
    leat_session_options options = {.n_ctx = 512};
    leat_session *session;
    leat_error e;
    CHECK_MSG(!leat_session_open(&session, model, &options, &e), "%s", e.text);
    return session;
}

static int32_t greedy(const float *logits, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static void check_story(const char *name) {
    static const char story[] =
        ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red "
        "ball. She wanted to play with it, but it was too high.\nLily's mom said, \"Lily, let's go to the park.\" Lily "
        "was sad and didn't know what to do. She said, \"I want to play with your ball, but I can't find it.\"\nLily "
        "was sad and didn't know what to do. She said, \"I'm sorry, Lily. I didn't know what to do.\"\nLily didn't "
        "want to help her mom, so she said, \"I";
    static const char prompt[] = "Once upon a time";
    leat_model *model = open_shared(name);
    leat_session *session = session_of(model);
    leat_error e;
    int32_t ids[64], next;
    size_t n, bytes = 0;
    char text[1024];
    CHECK(!leat_tokenize(model, prompt, sizeof prompt - 1, true, true, ids, 64, &n, &e));
    CHECK_MSG(!leat_feed(session, ids, n, LEAT_PROMPT, &e), "%s", e.text);
    for (int i = 0; i < 200; i++) {
        next = greedy(leat_logits(session), leat_model_n_vocab(model));
        bytes += leat_piece(model, next, false, text + bytes, sizeof text - 1 - bytes);
        CHECK_MSG(!leat_feed(session, &next, 1, LEAT_GENERATED, &e), "%s", e.text);
    }
    text[bytes] = 0;
    CHECK_STR(text, story);
    leat_session_close(session);
    leat_model_close(model);
}

TEST(text_of_stories260k_f32) { check_story("stories260K-f32.gguf"); }
TEST(text_of_stories260k_f16) { check_story("stories260K-F16.gguf"); }
TEST(text_of_stories260k_rot256) { check_story("stories260K-rot256-F16.gguf"); }

/* ---- perplexity ------------------------------------------------------------------------------------------------ */

enum { CHUNK = 512, CHUNKS = 20 };

typedef struct scored {
    const int32_t *ids;
    int32_t n_vocab;
    double sum;
    size_t n;
} scored;

/* The second half of a chunk is scored: each of its tokens but the last predicts the next. */
static bool score(void *user, size_t index, const float *logits) {
    scored *s = user;
    if (index < CHUNK / 2 || index + 1 >= CHUNK) return true;
    double top = (double)logits[greedy(logits, s->n_vocab)], total = 0;
    for (int32_t i = 0; i < s->n_vocab; i++) total += exp((double)logits[i] - top);
    s->sum += top + log(total) - (double)logits[s->ids[index + 1]];
    s->n++;
    return true;
}

static void check_perplexity(const char *name, double wanted) {
    leat_model *model = open_shared(name);
    leat_session *session = session_of(model);
    leat_error e;
    char path[256];
    size_t bytes, n;
    snprintf(path, sizeof path, "%s/corpora/stories260K-samples.txt", test_shared());
    char *text = (char *)test_slurp(path, &bytes);
    if (bytes && text[bytes - 1] == '\n') bytes--;
    int32_t *ids = malloc((4 * bytes + 16) * sizeof *ids);
    CHECK(ids && !leat_tokenize(model, text, bytes, true, false, ids, 4 * bytes + 16, &n, &e));
    CHECK(n >= (size_t)CHUNK * CHUNKS);
    scored s = {.n_vocab = leat_model_n_vocab(model)};
    for (size_t i = 0; i < CHUNKS; i++) {
        int32_t *chunk = ids + i * CHUNK;
        s.ids = chunk;
        chunk[0] = leat_bos(model);
        CHECK(!leat_rewind(session, 0, &e));
        CHECK_MSG(!leat_feed_each(session, chunk, CHUNK, LEAT_PROMPT, score, &s, &e), "%s", e.text);
    }
    CHECK_NEAR(exp(s.sum / (double)s.n), wanted, 0.002 * wanted);
    free(ids);
    free(text);
    leat_session_close(session);
    leat_model_close(model);
}

TEST(perplexity_of_stories260k_f32) { check_perplexity("stories260K-f32.gguf", 4.2235); }
TEST(perplexity_of_stories260k_f16) { check_perplexity("stories260K-F16.gguf", 4.2233); }
TEST(perplexity_of_stories260k_q8_0) { check_perplexity("stories260K-rot256-Q8_0.gguf", 4.2259); }
TEST(perplexity_of_stories260k_q4_k_m) { check_perplexity("stories260K-rot256-Q4_K_M.gguf", 4.5164); }
