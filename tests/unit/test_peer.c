/* test_peer.c: what other benches print is understood, and a command that fails says so. */
#include "tools/peer.h"
#include "check.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void check_speed(const char *printed, double wanted) {
    double seen = -1;
    str text;
    bool found = peer_speed(str_of(printed), &text, &seen);
    if (wanted <= 0) CHECK_MSG(!found, "%s: %g", printed, seen);
    else CHECK_MSG(found && seen == wanted, "%s: %g", printed, seen);
}

/* Something stands where a speed belongs, and is shown. */
static void check_refused(const char *printed, const char *wanted) {
    double tok_s;
    str seen;
    CHECK_MSG(!peer_speed(str_of(printed), &seen, &tok_s), "%s: %g", printed, tok_s);
    CHECK_MSG(str_is(seen, wanted), "%s: '%.*s'", printed, (int)seen.len, seen.ptr);
}

TEST(peer_finds_speeds_in_json) {
    check_speed("[\n {\n \"avg_ns\": 12, \"avg_ts\": 24.375,\n \"stddev_ts\": 0.5, \"x\": [ 1, 2 ] } ]", 24.375);
    check_speed("log 3 t/s\n{\"avg_ts\":1}{\"avg_ts\" : 2e1}", 20);
    check_speed("[{\"tok_s\": 105.5, \"tok_s_stddev\": 3}]", 105.5);
    check_speed("{\"avg_ts\": 0}", 0);
    check_speed("{\"avg_ts\": }", 0);
    check_speed("{\"avg_ts", 0);
}

TEST(peer_finds_speeds_in_csv) {
    check_speed("build,avg_ts,stddev_ts\n\"a,b\",\"31.5\",\"0.1\"\n", 31.5);
    check_speed("avg_ts,x\r\n1.5,2\r\n7,8\r\n", 7);
    check_speed("avg_ts,x\n", 0);
    check_speed("build,avg_ts,stddev_ts\n\"a\",5.5,1\nllama_perf: 1, 2, 3\n", 5.5);
    check_speed("a,avg_ts,b\nllama_perf: 1, 2, 3\n", 0);
    check_speed("build, avg_ts\na, 5.5\n", 5.5);
}

TEST(peer_finds_speeds_in_tables) {
    check_speed("| model | size | test | t/s |\n| ---- | ---: | ---: | ---: |\n"
                "| llama 1B | 590 MiB | tg64 | 22.61 ± 0.40 |\n\nbuild: abc\n", 22.61);
    check_speed("| threads | test | tok/s | bound |\n| --: | -- | --: | --: |\n"
                "| 2 | pp8 |  512.00 ± 3.10 | 900 |\n", 512);
}

TEST(peer_finds_speeds_before_units) {
    check_speed("tg128   t=2   22.80 +- 0.31 tok/s   (best 23.10, r=5)\n", 22.8);
    check_speed("eval time = 1 ms / 5 runs ( 2 ms per token, 41.25 tokens per second)\n", 41.25);
    check_speed("pp 300.5 t/s\ntg 22± 1 t/s\n100 ms", 22);
    check_speed("speed=20±3 tok/s", 20);
    check_speed("(20 +- 3 tok/s) 5 of 5", 20);
    check_speed("2 x 3 t/s [3 t/s]", 3);
    check_speed("10 bit/s, 0.5 kt/s", 0);
    check_speed("12tok/s", 12);
    check_speed("tg 64 22.5 t/s", 22.5);
    check_speed("tg64 228.5 t/s", 228.5);
    check_speed("t=2   228.5 t/s", 228.5);
    check_speed("t 1024 228.5 t/s", 228.5);
    check_speed("tok/s: 12", 0);
    check_speed("tok/s", 0);
    check_speed("nothing", 0);
    check_speed("", 0);
    check_speed("+- 3 tok/s", 0);
    check_speed("-inf tok/s nan tok/s", 0);
    check_speed("-5 t/s", 0);
    check_speed("1e-320 t/s", 0);
}

/* No part of them counts for the whole. */
TEST(peer_refuses_what_is_no_plain_number) {
    check_refused("1,234.5 tok/s", "1,234.5");
    check_refused("12,5 tok/s", "12,5");
    check_refused("1 234 t/s", "1 234");
    check_refused("speed: 1 234 567.5 ± 3 t/s", "1 234 567.5 ± 3");
    check_refused("- 5 t/s", "- 5");
    check_refused("speed = -  5 t/s", "-  5");
    check_refused("1'234 tok/s", "1'234");
    check_refused("0x10 tok/s", "0x10");
    check_refused("1.5k tok/s", "1.5k");
    check_refused("5 t/s\n-5 t/s", "-5");
    check_refused("0 t/s", "0");
    check_refused("142.8 tok/s (peak 900 tok/s)", "142.8 tok/s (peak 900 tok/s)");
    check_refused("{\"avg_ts\": \"1,234.5\"}", "1,234.5");
    check_refused("{\"avg_ts\": 5},{\"avg_ts\": null}", "null");
    check_refused("avg_ts,x\n\"1,234.5\",2\n", "1,234.5");
    check_refused("x,avg_ts\n2,1,234.5\n", "2,1,234.5");
    check_refused("| test | t/s |\n| --- | --: |\n| pp5 | 1,234.5 |\n", "1,234.5");
}

/* Of hostile output no byte is looked at more than some hundred times: this ends. */
TEST(peer_reads_any_output) {
    enum { BYTES = 1 << 18 };
    static const char *pieces[] = {"t/s", "5t/s ", "+-", "± 1 t/s", "\"avg_ts\":", "|t/s", "avg_ts,", "\"", "9"};
    char *text = malloc(BYTES);
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        double tok_s;
        str seen;
        for (size_t at = 0, n = strlen(pieces[i]); at < BYTES; at++) text[at] = pieces[i][at % n];
        peer_speed((str){text, BYTES}, &seen, &tok_s);
    }
    free(text);
}

TEST(peer_names) {
    static const struct {
        const char *option, *name, *line;
    } cases[] = {{"ik: bench -m {file}", "ik", " bench -m {file}"}, {"/a/b/llama-bench -m x", "llama-bench", NULL},
                 {"bench", "bench", NULL}, {"X=1 bench", "X=1", NULL}, {"/a:/b: c", "b:", NULL}, {"a:", "a", ""},
                 {"", "", NULL}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        peer p = peer_of(cases[i].option);
        CHECK_STR(p.name, cases[i].name);
        CHECK_STR(p.line, cases[i].line ? cases[i].line : cases[i].option);
    }
}

static err_code run(const char *line, uint64_t limit_ns, double *tok_s, err *e) {
    peer p = peer_of(line);
    peer_test test = {.file = "it's.gguf", .n_prompt = 512, .n_gen = 7, .n_depth = 4096, .n_threads = 3};
    return peer_run(&p, &test, limit_ns, tok_s, e);
}

TEST(peer_runs_a_line_of_the_shell) {
    const uint64_t second = 1000000000;
    double tok_s = 0;
    err e;
    size_t before = mem_bytes_total();
    CHECK_EQ(run("x: echo {n_prompt}.{threads} tok/s", 9 * second, &tok_s, &e), ERR_NONE);
    CHECK(tok_s == 512.3);
    CHECK_EQ(run("x: [ {file} = \"it's.gguf\" ] && echo {depth}{n_gen} t/s", 9 * second, &tok_s, &e), ERR_NONE);
    CHECK(tok_s == 40967);
    CHECK_EQ(run("x: echo oh; echo no >&2; echo \"that's it\" >&2; exit 3", 9 * second, &tok_s, &e), ERR_IO);
    CHECK_STR(e.text, "x: the command ended with status 3: that's it");
    CHECK_EQ(run("x: true", 9 * second, &tok_s, &e), ERR_IO);
    CHECK_STR(e.text, "x: the command printed nothing");
    CHECK_EQ(run("x: echo hello {word}", 9 * second, &tok_s, &e), ERR_IO);
    CHECK_STR(e.text, "x: no tokens a second in what the command printed: hello {word}\n");
    CHECK_EQ(run("/nowhere/at-all {file}", 9 * second, &tok_s, &e), ERR_IO);
    CHECK(str_starts(str_of(e.text), STR("at-all: the command ended with status 127: ")));
    CHECK_EQ(run("x: kill -9 $$", 9 * second, &tok_s, &e), ERR_IO);
    CHECK(str_starts(str_of(e.text), STR("x: the command ended with status 137")));
    CHECK_EQ(mem_bytes_total(), before);
}

/* A caller whose thread is bound to one core does not bind the peer. */
TEST(peer_has_all_cores) {
    double tok_s = 0;
    err e;
    plat_pin_self(0);
    err_code code = run("x: echo $(nproc) t/s", 60000000000u, &tok_s, &e);
    plat_pin_self(-1);
    CHECK_EQ(code, ERR_NONE);
    CHECK(tok_s >= plat_core_count());
}

/* What it started ends with it, whatever group or session it is in, and whoever its parent is by then. */
TEST(peer_ends_processes_of_other_groups) {
    static const char *const starts[] = {"timeout 600", "setsid", "setsid timeout 600"};
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        char line[2048], *text;
        const char *to = test_path(0, "peer.pid");
        double tok_s = 0;
        size_t bytes;
        uint64_t pid = 0;
        err e;
        remove(to);
        fmt(line, sizeof line, "x: (%s sh -c 'echo $$ > %s.new; mv %s.new %s; exec sleep 604' &); "
            "until [ -s %s ]; do sleep 0.01; done; echo 5 t/s", starts[i], to, to, to, to);
        CHECK_MSG(run(line, 300000000000u, &tok_s, &e) == ERR_NONE, "%s", e.text);
        text = (char *)test_slurp(to, &bytes);
        CHECK(parse_u64(str_trim((str){text, bytes}), &pid) && pid > 1);
        CHECK_MSG(kill((pid_t)pid, SIGKILL) && errno == ESRCH, "%s: process %llu was left", starts[i],
                  (unsigned long long)pid);
        free(text);
    }
}

/* What it started ends with it, and more than a pipe holds is no reason to wait. */
TEST(peer_does_not_wait_forever) {
    uint64_t from = plat_time_ns();
    double tok_s = 0;
    err e;
    CHECK_EQ(run("x: sleep 600 & sleep 601", 200000000, &tok_s, &e), ERR_IO);
    CHECK_STR(e.text, "x: the command took longer than --vs-limit allows");
    CHECK_EQ(run("x: sleep 602 & echo 5 t/s", 300000000000u, &tok_s, &e), ERR_NONE);
    CHECK(tok_s == 5);
    CHECK_EQ(run("x: head -c 3000000 /dev/zero; head -c 300000 /dev/zero >&2; echo; echo 6 t/s", 300000000000u, &tok_s,
                 &e), ERR_NONE);
    CHECK(tok_s == 6);
    CHECK_EQ(run("x: echo 7 t/s; yes no | head -n 300000", 300000000000u, &tok_s, &e), ERR_IO);
    CHECK(str_starts(str_of(e.text), STR("x: no tokens a second in what the command printed: no\n")));
    CHECK(plat_time_ns() - from < 300000000000u);
}
