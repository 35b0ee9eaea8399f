/* test_fault_tools.c: whole commands on a machine that fails. Whatever fails, the command says so on standard error,
 * ends with status 1, and gives everything back.
 */
#include "fault/scenario.h"
#include "gen/tiny.h"
#include "tools/tools.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 24
static char *args[ARGS_MAX];
static int n_args;

static void command(const char *line) {
    static char words[2048];
    snprintf(words, sizeof words, "leat %s", line);
    n_args = 0;
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        CHECK(n_args < ARGS_MAX);
        args[n_args++] = word;
    }
}

/* Runs the command with standard output and error in files. */
static bool run(void) {
    const char *out_path = test_path(6, "fault-tools-out"), *err_path = test_path(7, "fault-tools-err");
    int saved[2] = {dup(1), dup(2)};
    int out = open(out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int errors = open(err_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    char said[256];
    fflush(stdout);
    CHECK(saved[0] >= 0 && saved[1] >= 0 && dup2(out, 1) == 1 && dup2(errors, 2) == 2);
    int status = tools_main(n_args, args, NULL, 0);
    dup2(saved[0], 1);
    dup2(saved[1], 2);
    ssize_t n = pread(errors, said, sizeof said - 1, 0);
    said[MAX(n, 0)] = 0;
    close(out), close(errors), close(saved[0]), close(saved[1]);
    CHECK_MSG(status == TOOLS_OK || status == TOOLS_FAILED, "status %d: %s", status, said);
    if (status == TOOLS_FAILED) CHECK_MSG(!strncmp(said, "leat ", 5), "a failure says '%s'", said);
    return status == TOOLS_OK;
}

static void try(const char *format, const char *model, const char *file) {
    char line[1024];
    snprintf(line, sizeof line, format, model, file);
    command(line);
    every_call_fails_once(run);
}

static const char *text_file(const char *text) {
    const char *path = test_path(0, "fault-tools-input");
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
    return path;
}

static const char *model(tiny_tok tok) {
    tiny_spec spec = tiny_default("llama");
    spec.tok = tok;
    spec.n_embd = 64;
    spec.n_ff = 64;
    const char *path = test_path(1, "fault-tools.gguf");
    tiny_write(&spec, path);
    return path;
}

TEST(fault_tools_run) {
    try("run -m %s -f %s -n 3 -t 2 --ignore-eos --temp 0", model(TINY_TOK_SPM), text_file("Once upon"));
}
TEST(fault_tools_run_ids) { try("run -m %s --ids %s -n 3 -t 1 -q", model(TINY_TOK_NONE), text_file("3 4 5")); }
TEST(fault_tools_template) {
    const char *messages = text_file("[{\"role\": \"user\", \"content\": \"Once\\nupon\"}]");
    try("template -m %s --messages @%s --chat-template gemma", model(TINY_TOK_SPM), messages);
}
TEST(fault_tools_eval) {
    char line[1024];
    snprintf(line, sizeof line, "eval -m %%s --ids %%s --logits %s -t 1", test_path(2, "fault-tools.npy"));
    try(line, model(TINY_TOK_NONE), text_file("3 4 5"));
}
TEST(fault_tools_perplexity) {
    const char *text = text_file("Once upon a time there was a test of things.");
    try("perplexity -m %s -f %s -c 8 -t 1 --chunks 1", model(TINY_TOK_SPM), text);
}
TEST(fault_tools_perplexity_compared) {
    const char *path = model(TINY_TOK_SPM), *text = text_file("Once upon a time there was a test of things.");
    char line[1024];
    snprintf(line, sizeof line, "perplexity -m %s -f %s -c 8 -t 1 --chunks 1 --kl-base %s", path, text, path);
    command(line);
    every_call_fails_once(run);
}
TEST(fault_tools_imatrix) {
    const char *path = model(TINY_TOK_SPM), *text = text_file("Once upon a time there was a test of things.");
    const char *first = test_path(2, "fault-tools.imatrix");
    char line[1024];
    snprintf(line, sizeof line, "imatrix -m %s -f %s -c 8 -t 1 --chunks 1 -o %s", path, text, first);
    command(line);
    CHECK(run());
    snprintf(line, sizeof line, "imatrix -m %s -f %s -c 8 -t 1 --chunks 1 --in-file %s -o %s", path, text, first,
             test_path(3, "fault-tools-sum.imatrix"));
    command(line);
    every_call_fails_once(run);
}
TEST(fault_tools_tokenize) { try("tokenize -m %s -f %s", model(TINY_TOK_SPM), text_file("Once upon a time")); }
/* Of a model that does not fit: no thread is started that would make memory for its weights real. */
TEST(fault_tools_inspect_takes_no_memory_for_weights) {
    enum { NOBODY = -2 };
    static const plat_core one = {0, 1024};
    int started[8] = {NOBODY};
    char line[1024];
    tiny_spec spec = tiny_default("qwen3moe");
    spec.n_expert = 16, spec.n_ff_expert = 256, spec.type = QUANT_Q4_K;
    tiny_write(&spec, test_path(1, "fault-inspect.gguf"));
    snprintf(line, sizeof line, "inspect -m %s", test_path(1, "fault-inspect.gguf"));
    command(line);
    for (uint64_t mib = 2; mib <= 24; mib++) { /* from too little to enough */
        fault_arm(&(fault_plan){
            .fail_at = -1, .memory_available = mib << 20, .cores = &one, .n_cores = 1, .pins = started});
        CHECK(run());
        fault_arm(NULL);
        CHECK_MSG(started[0] == NOBODY, "a thread within %llu MiB", (unsigned long long)mib);
    }
}
TEST(fault_tools_inspect) { try("inspect -m %s --json --tensors --kv", model(TINY_TOK_SPM), NULL); }

/* Whatever fails, what was at OUT stays or is replaced by the whole file, and nothing lies beside it but, where that
 * cannot be renamed, the whole file. */
static unsigned char *whole;
static size_t whole_bytes;

static void check_whole(const char *path) {
    size_t bytes;
    unsigned char *data = test_slurp(path, &bytes);
    CHECK_MSG(bytes == whole_bytes && !memcmp(data, whole, bytes), "%s has %zu bytes", path, bytes);
    free(data);
}

static bool quantize(void) {
    const char *path = test_path(2, "fault-tools-quantized.gguf");
    char part[512];
    FILE *f = fopen(path, "w");
    CHECK(f && fputs("old", f) >= 0 && fclose(f) == 0);
    bool worked = run();
    f = fopen(path, "r");
    char start[4] = "";
    CHECK(f && fread(start, 1, 4, f) >= 3 && fclose(f) == 0);
    CHECK_MSG(!memcmp(start, worked ? "GGUF" : "old", worked ? 4 : 3), "after %s: %.4s",
              worked ? "success" : "failure", start);
    snprintf(part, sizeof part, "%s.part", path);
    if (worked) check_whole(path);
    if (access(part, F_OK) == 0) {
        check_whole(part);
        CHECK_MSG(!worked && remove(part) == 0, "%s is left over", part);
    }
    return worked;
}

static void begin_quantize(const char *line) {
    command(line);
    CHECK(run());
    whole = test_slurp(test_path(2, "fault-tools-quantized.gguf"), &whole_bytes);
}

TEST(fault_tools_quantize) {
    char line[1024];
    snprintf(line, sizeof line, "quantize %s %s q8_0 -t 2", model(TINY_TOK_SPM),
             test_path(2, "fault-tools-quantized.gguf"));
    begin_quantize(line);
    every_call_fails_once(quantize);
    free(whole);
}

TEST(fault_tools_quantize_reads) {
    char line[1024];
    int worked = 0;
    snprintf(line, sizeof line, "quantize %s %s q8_0 -t 2 -q", model(TINY_TOK_SPM),
             test_path(2, "fault-tools-quantized.gguf"));
    begin_quantize(line);
    random_faults(quantize, &(fault_plan){.read_short = 0.02, .read_delay = 0.3, .write_error = 0.02}, 60, &worked);
    CHECK_MSG(worked > 0 && worked < 60, "%d of 60 worked", worked);
    free(whole);
}

/* A set of parts that takes the place of another: whoever is killed while it gets its names leaves nothing that opens
 * as half of each, and all of the new one. */
TEST(fault_tools_quantize_killed_amid_names) {
    enum { PARTS_MAX = 9 };
    char line[1024], path[PARTS_MAX][600], part[612];
    unsigned char *bytes[PARTS_MAX];
    size_t n_bytes[PARTS_MAX], n = 0;
    const char *out = test_path(2, "fault-tools-set.gguf");
    snprintf(line, sizeof line, "quantize %s %s q8_0 -t 1 -q --split-max-size 60K", model(TINY_TOK_SPM), out);
    command(line);
    CHECK(run());
    for (size_t count = 2; count <= PARTS_MAX && !n; count++) {
        for (size_t i = 0; i < count; i++)
            snprintf(path[i], sizeof path[i], "%.*s-%05zu-of-%05zu.gguf", (int)strlen(out) - 5, out, i + 1, count);
        if (access(path[0], F_OK) == 0) n = count;
    }
    CHECK(n > 2);
    for (size_t i = 0; i < n; i++) bytes[i] = test_slurp(path[i], &n_bytes[i]);
    for (int last = 1; last <= (int)n; last++) {
        for (size_t i = 0; i < n; i++) {
            FILE *f = fopen(path[i], "w");
            CHECK(f && fputs("old", f) >= 0 && fclose(f) == 0);
        }
        pid_t child = fork();
        CHECK(child >= 0);
        if (!child) {
            fault_arm(&(fault_plan){.fail_at = -1, .last_rename = last});
            run();
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == FAULT_DIED);
        CHECK_MSG(access(path[0], F_OK) != 0, "killed at number %d, %s is there", last, path[0]);
        for (size_t i = 0; i < n; i++) {
            snprintf(part, sizeof part, "%.600s.part", path[i]);
            bool named = access(part, F_OK) != 0;
            whole = test_slurp(named ? path[i] : part, &whole_bytes);
            bool same = whole_bytes == n_bytes[i] && !memcmp(whole, bytes[i], n_bytes[i]);
            CHECK_MSG(same, "killed at number %d, %s", last, part);
            free(whole);
            if (!named) CHECK_EQ(remove(part), 0);
        }
    }
    for (size_t i = 0; i < n; i++) free(bytes[i]);
}
