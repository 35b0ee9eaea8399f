/* `leat inspect`: its text and its JSON, on files that leat can run and on files that it cannot. */
#include "check.h"
#include "gen/tiny.h"
#include "gguf_bytes.h"
#include "tools/tools.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs `leat inspect FILE options...` in a child process; returns what it wrote to standard output. Free it. */
static char *inspect(int *status, const char *file, ...) {
    char *argv[8] = {(char[]){"leat"}, (char[]){"inspect"}, strdup(file)};
    int argc = 3;
    va_list args;
    va_start(args, file);
    for (char *a; argc < 7 && (a = va_arg(args, char *));) argv[argc++] = a;
    va_end(args);
    const char *path = test_path(7, "inspect.out");
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666), none = open("/dev/null", O_WRONLY);
        if (dup2(out, 1) < 0 || dup2(none, 2) < 0) _exit(99);
        _exit(tools_main(argc, argv, NULL, 0));
    }
    int raw = 0;
    CHECK(waitpid(child, &raw, 0) == child && WIFEXITED(raw));
    *status = WEXITSTATUS(raw);
    free(argv[2]);
    size_t n;
    return (char *)test_slurp(path, &n);
}

static void check_has(const char *text, const char *wanted) {
    CHECK_MSG(strstr(text, wanted), "\"%s\" is not in:\n%s", wanted, text);
}

/* ---- a strict JSON reader: where the value that starts at p ends, or NULL --------------------------------------- */

static const char *json_space(const char *p) { return p + strspn(p, " \n\t\r"); }

static const char *json_text(const char *p) {
    if (*p++ != '"') return NULL;
    while (*p != '"') {
        if ((uint8_t)*p < 0x20) return NULL;
        if (*p == '\\') {
            p++;
            if (*p == 'u') {
                for (int i = 1; i <= 4; i++)
                    if (!strchr("0123456789abcdefABCDEF", p[i]) || !p[i]) return NULL;
                p += 4;
            } else if (!*p || !strchr("\"\\/bfnrt", *p)) {
                return NULL;
            }
            p++;
            continue;
        }
        size_t len;
        if (utf8_decode(p, strlen(p), &len) == UTF8_INVALID) return NULL;
        p += len;
    }
    return p + 1;
}

static const char *json_digits(const char *p) {
    size_t n = strspn(p, "0123456789");
    return n ? p + n : NULL;
}

static const char *json_number(const char *p) {
    if (*p == '-') p++;
    p = *p == '0' ? p + 1 : json_digits(p);
    if (p && *p == '.') p = json_digits(p + 1);
    if (p && (*p == 'e' || *p == 'E')) p = json_digits(p + 1 + (p[1] == '+' || p[1] == '-'));
    return p;
}

static const char *json_value(const char *p, int depth) {
    p = json_space(p);
    if (depth > 8) return NULL;
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strncmp(p, words[i], strlen(words[i])) == 0) return p + strlen(words[i]);
    if (*p == '"') return json_text(p);
    if (*p != '{' && *p != '[') return json_number(p);
    char end = *p == '{' ? '}' : ']';
    p = json_space(p + 1);
    if (*p == end) return p + 1;
    for (;;) {
        if (end == '}') {
            p = json_text(json_space(p));
            if (!p || *(p = json_space(p)) != ':') return NULL;
            p++;
        }
        p = json_value(p, depth + 1);
        if (!p) return NULL;
        p = json_space(p);
        if (*p == end) return p + 1;
        if (*p++ != ',') return NULL;
    }
}

static void check_json(const char *text) {
    const char *end = json_value(text, 0);
    CHECK_MSG(end && *json_space(end) == 0 && *json_space(text) == '{', "not JSON:\n%s", text);
}

/* ---- files that leat runs --------------------------------------------------------------------------------------- */

TEST(inspect_shows_a_model) {
    tiny_spec s = tiny_default("qwen3moe");
    s.tok = TINY_TOK_BPE;
    s.type = QUANT_Q4_K;
    s.type2 = QUANT_Q6_K;
    s.mixed = true;
    s.chat_template = "{{ messages }}";
    const char *path = test_path(0, "inspect.gguf");
    tiny_write(&s, path);
    int status;
    char *out = inspect(&status, path, NULL);
    CHECK_EQ(status, 0);
    check_has(out, "architecture  qwen3moe\n");
    check_has(out, "shape         2 layers, 256 wide, 4 heads of 64 over 2, feed-forward 512, vocabulary 534\n");
    check_has(out, "experts       4, of which 2 a token, each 256 wide\n");
    check_has(out, "types         ");
    check_has(out, "Q4_K ");
    check_has(out, "Q6_K ");
    check_has(out, "tokenizer     gpt2, pre-tokenizer gpt-2, 534 tokens, BOS 532 \"<|endoftext|>\", EOS 532");
    check_has(out, "template      present, 14 bytes\n");
    check_has(out, "with 256 tokens of context: ");
    check_has(out, "runs in leat  yes\n");
    CHECK(!strstr(out, "\nkeys\n") && !strstr(out, "\ntensors\n"));
    free(out);
    /* 2 layers x 2 heads x (64 + 64) x 2 bytes x 1000 tokens. */
    out = inspect(&status, path, "--json", "-c", "1000", NULL);
    CHECK_EQ(status, 0);
    check_json(out);
    check_has(out, "\"n_ctx\": 1000,");
    check_has(out, "\"kv_bytes\": 1024000,");
    check_has(out, "\"chat_template\": true");
    check_has(out, "\"runs\": true,\n  \"problems\": []");
    free(out);
    out = inspect(&status, path, "--kv", "--tensors", NULL);
    check_has(out, "\nkeys\n  general.architecture  str  \"qwen3moe\"\n");
    check_has(out, "  tokenizer.ggml.token_type  i32[534]  1, 1, 1, 1, 1, 1, 1, 1, ...\n");
    check_has(out, "\ntensors\n  token_embd.weight                         Q4_K     [256, 534]  76896 bytes at ");
    free(out);
    out = inspect(&status, path, "--json", "--kv", "--tensors", NULL);
    check_json(out);
    check_has(out, "{\"key\": \"qwen3moe.block_count\", \"kind\": \"u32\", \"value\": 2}");
    check_has(out, "{\"name\": \"token_embd.weight\", \"type\": \"Q4_K\", \"id\": 12, \"dims\": [256, 534],");
    free(out);
}

/* Of a window of 70 the cache holds that, 128 to go back, and a step of 256, in pages of 64 and one begun. */
TEST(inspect_counts_the_window_alone) {
    static const struct { const char *arch, *bytes; } cases[] = {{"llama", "\"kv_bytes\": 589824,"},
                                                                 {"qwen2", "\"kv_bytes\": 4096000,"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) { /* 2 layers x 2 heads x (64 + 64) x 2 bytes x 576 or 4000 */
        tiny_spec s = tiny_default(cases[i].arch);
        s.window = 70;
        const char *path = test_path(0, "window.gguf");
        tiny_write(&s, path);
        int status;
        char *out = inspect(&status, path, "--json", "-c", "4000", NULL);
        CHECK_EQ(status, 0);
        check_has(out, cases[i].bytes);
        free(out);
    }
}

TEST(inspect_counts_weights) {
    tiny_spec s = tiny_default("llama");
    s.type = QUANT_Q8_0;
    s.n_expert = 8;
    s.n_expert_used = 2;
    s.parts = 3;
    const char *path = test_path(0, "inspect-00001-of-00003.gguf");
    tiny_write(&s, path);
    int status;
    char *out = inspect(&status, path, "--json", NULL);
    CHECK_EQ(status, 0);
    check_json(out);
    /* Two layers of q, k, v, o, 8 x 3 matrices of 256 x 512, a router, two norms; two matrices of 256 x 128, a norm. */
    long attention = 256 * (256 + 128 + 128 + 256), expert = 3 * 256 * 512;
    long all = 2 * (attention + 8 * expert + 8 * 256 + 512) + 2 * 256 * 128 + 256;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"parameters\": %ld,", all);
    check_has(out, wanted);
    snprintf(wanted, sizeof wanted, "\"parameters_active\": %ld,", all - 2 * 6 * expert);
    check_has(out, wanted);
    check_has(out, "inspect-00003-of-00003.gguf\"]");
    check_has(out, "\"tokenizer\": \"no_vocab\"");
    free(out);
}

/* ---- files that it does not run --------------------------------------------------------------------------------- */

TEST(inspect_shows_what_leat_cannot_run) {
    bytes b;
    add_start(&b, 3, 2, 9);
    add_key(&b, "general.architecture", GGUF_STR);
    add_str(&b, "marvin");
    add_key(&b, "epsilon", GGUF_F32);
    add_u32(&b, 0x3727C5AC);
    add_key_array(&b, "quotes", GGUF_STR, 2);
    add_str(&b, "\"");
    add_str(&b, "\\");
    add_key(&b, "general.name", GGUF_STR);
    add_str(&b, "a \"name\"\n\x1b[31m with \xff and \xc2\x9b");
    add_key_u32(&b, "marvin.block_count", 3);
    add_key_array(&b, "marvin.attention.head_count", GGUF_I32, 3);
    add_u32(&b, 4);
    add_u32(&b, 8);
    add_u32(&b, 2);
    add_key_u32(&b, "marvin.attention.key_length", 16);
    add_key(&b, "tokenizer.ggml.model", GGUF_STR);
    add_str(&b, "telepathy");
    add_key(&b, "inf", GGUF_F32);
    add_u32(&b, 0x7F800000);
    add_tensor(&b, "brain.weight", 2, (const uint64_t[]){4, 2}, 137, 0);
    add_tensor(&b, "size.weight", 1, (const uint64_t[]){4}, QUANT_F32, 32);
    add_data(&b, 32, 64);
    const char *path = test_path(0, "marvin.gguf");
    write_file(path, b.at, b.n);
    int status;
    char *out = inspect(&status, path, "-c", "10", "--kv", NULL);
    CHECK_EQ(status, 0);
    check_has(out, "name          a \"name\"\\n\\x1b[31m with \\xff and \\u009b\n");
    check_has(out, "type 137 (unknown)");
    check_has(out, "no: 1 tensor of type 137 (unknown), which leat cannot read\n");
    check_has(out, "telepathy");
    check_has(out, "  epsilon  f32  1e-05\n  quotes  str[2]  \"\\\"\", \"\\\\\"\n");
    check_has(out, "architecture \"marvin\", leat knows ");
    CHECK(!strchr(out, 0x1b));
    free(out);
    out = inspect(&status, path, "-c", "10", "--json", "--kv", "--tensors", NULL);
    CHECK_EQ(status, 0);
    check_json(out);
    check_has(out, "\"kv_bytes\": 8960,"); /* (4 + 8 + 2) x (16 + 16) x 2 x 10 */
    check_has(out, "\"name\": \"a \\\"name\\\"\\u000a\\u001b[31m with \\ufffd and");
    check_has(out, "{\"key\": \"epsilon\", \"kind\": \"f32\", \"value\": 1e-05}");
    check_has(out, "{\"key\": \"inf\", \"kind\": \"f32\", \"value\": null}");
    check_has(out, "\"runs\": false");
    free(out);
    /* A file with nothing in it, and one that is none. */
    add_start(&b, 2, 0, 0);
    write_file(path, b.at, b.n);
    out = inspect(&status, path, "--json", NULL);
    CHECK_EQ(status, 0);
    check_json(out);
    check_has(out, "\"architecture\": null");
    free(out);
    write_file(path, "not a model at all, but longer than 24 bytes", 44);
    out = inspect(&status, path, NULL);
    CHECK_EQ(status, 1);
    CHECK_EQ(out[0], 0);
    free(out);
    out = inspect(&status, path, "--jsno", NULL);
    CHECK_EQ(status, 2);
    free(out);
}
