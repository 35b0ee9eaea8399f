/* bench.c: `leat bench`, speeds with the bounds they are to be held against, and beside other engines. On a machine
 * that is shared with others no two seconds are alike: so all takes turns, repetition by repetition, a look at what the
 * machine can do (bounds.c), leat, each peer (peer.c); figures are medians: of speeds, and of the ratios of
 * neighbours in time. Next: bench_show.c, the formats.
 */
#include "tools/bench.h"
#include "tools/trace.h"

#define LOAD_BUSY 0.5 /* other runnable tasks that spoil a figure */
#define LOOK_NS 120000000u
#define TURN_NS 500000000u /* of the bare loop beside a repetition, at most */
#define TURN_PART 6        /* of the repetition's time, so that rows take hardly longer */

typedef struct bench_values {
    const char *model, *isa, *format, *routing, *record;
    tools_ints n_prompt, n_gen, n_depth, n_threads;
    int32_t n_reps, limit_s, n_draft;
    float accept;
    bool no_pin;
    tools_strs vs;
    load_cache cache;
    load_memory memory;
} bench_values;

static void defaults(void *values) {
    bench_values *o = values;
    o->n_prompt = (tools_ints){{512}, 1};
    o->n_gen = (tools_ints){{128}, 1};
    o->n_depth = (tools_ints){{0}, 1};
    o->n_reps = 5;
    o->n_draft = 8;
    o->limit_s = 600;
    o->format = "md";
}

typedef struct bench {
    tools *t;
    const bench_values *o;
    loaded l;
    leat_session *shallow; /* stays at depth 0, for rows at a depth; NULL without such */
    trace trace;           /* of --routing */
    trace_writer recorded; /* of --record  */
    leat_routing routing;
    const kern *k;
    bounds_probe *probe;
    bounds_model counted;
    bounds_machine machines[TOOLS_INTS_MAX];
    load_meter meter; /* of the row in work */
    peer peers[BENCH_PEERS_MAX];
    bench_head head;
    int32_t *tokens; /* (n_tokens) random ids */
    size_t n_tokens;
    double *samples; /* (SAMPLES + peers, n_reps) */
    size_t n_rows;
} bench;

enum { OWN, SHALLOW, SHARE, SUSTAINED, GROWTH, RATIO, SAMPLES };

/* ---- measuring -------------------------------------------------------------------------------------------- */

static int feed(bench *b, leat_session *session, size_t first, size_t n, size_t step, leat_role role) {
    leat_error e;
    for (size_t i = 0; i < n; i += step) {
        uint64_t start = plat_time_ns();
        leat_code code = leat_feed(session, b->tokens + first + i, MIN(step, n - i), role, &e);
        load_meter_add(&b->meter, session, MIN(step, n - i), plat_time_ns() - start);
        if (code == LEAT_CANCELLED && plat_interrupted()) return TOOLS_INTERRUPTED;
        if (code) return tools_fail_text(b->t, e.text);
    }
    return TOOLS_OK;
}

static bool any_logits(void *user, size_t index, const float *logits) {
    (void)user, (void)index;
    return logits != NULL;
}

/* Whether guesses are right, in any order, but of each DECK of them the share --accept: runs are short, and chance
 * would make them differ more than engines do. */
typedef struct deck {
    rng dice;
    size_t n_left, n_right;
} deck;

static bool is_right(deck *d, float share) {
    enum { DECK = 100 };
    if (!d->n_left) d->n_left = DECK, d->n_right = (size_t)(share * DECK + 0.5f);
    bool right = rng_u64(&d->dice) % d->n_left-- < d->n_right;
    d->n_right -= right;
    return right;
}

/* The same, one token at a time with guesses behind. */
static int feed_guessed(bench *b, leat_session *session, size_t first, size_t n) {
    leat_error e;
    deck guesses = {0};
    rng_seed(&guesses.dice, first);
    for (size_t i = 0; i < n;) {
        size_t rows = MIN(n - i, (size_t)b->o->n_draft + 1), right = 0;
        while (right + 1 < rows && is_right(&guesses, b->o->accept)) right++;
        uint64_t start = plat_time_ns();
        leat_code code = leat_feed_each(session, b->tokens + first + i, rows, LEAT_GENERATED, any_logits, NULL, &e);
        i += right + 1;
        if (!code) code = leat_rewind(session, (int32_t)(first + i), &e);
        load_meter_add(&b->meter, session, right + 1, plat_time_ns() - start);
        if (code == LEAT_CANCELLED && plat_interrupted()) return TOOLS_INTERRUPTED;
        if (code) return tools_fail_text(b->t, e.text);
    }
    return TOOLS_OK;
}

static int rewind_to(bench *b, leat_session *session, int32_t n) {
    leat_error e;
    return leat_rewind(session, n, &e) ? tools_fail_text(b->t, e.text) : TOOLS_OK;
}

/* n of the row's tokens, from a session that holds `depth` already. */
static int time_own(bench *b, const bench_row *r, leat_session *session, int32_t depth, size_t n, double *tok_s) {
    int status = rewind_to(b, session, depth);
    if (status) return status;
    uint64_t start = plat_time_ns();
    if (!r->n_prompt && b->o->accept > 0) status = feed_guessed(b, session, (size_t)depth, n);
    else status = feed(b, session, (size_t)depth, n, r->n_prompt ? n : 1, r->n_prompt ? LEAT_PROMPT : LEAT_GENERATED);
    *tok_s = (double)n * 1e9 / (double)MAX(plat_time_ns() - start, 1);
    return status;
}

static int time_peer(bench *b, const bench_row *r, size_t which, double *tok_s) {
    err e;
    peer_test test = {.file = b->o->model, .n_prompt = r->n_prompt, .n_gen = r->n_gen, .n_depth = r->n_depth,
                      .n_threads = r->n_threads};
    err_code code = peer_run(&b->peers[which], &test, (uint64_t)b->o->limit_s * 1000000000, tok_s, &e);
    if (code && plat_interrupted()) return TOOLS_INTERRUPTED;
    return code ? tools_fail_text(b->t, e.text) : TOOLS_OK;
}

static double *samples(bench *b, size_t kind) { return b->samples + kind * (size_t)b->o->n_reps; }

static double deviation(const double *at, size_t n) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += at[i];
    for (size_t i = 0; i < n; i++) squares += (at[i] - sum / (double)n) * (at[i] - sum / (double)n);
    return n > 1 ? math_sqrt(squares / (double)(n - 1)) : 0;
}

static double bound_of(const bench *b, const bench_row *r, const bounds_machine *m) {
    return r->n_prompt ? bounds_prompt(&b->counted, m, r->n_prompt, r->n_depth)
                       : bounds_decode(&b->counted, m, r->n_gen, r->n_depth);
}

static uint64_t turn_ns(size_t n, double tok_s) {
    return (uint64_t)MIN((double)n * 1e9 / tok_s / TURN_PART, (double)TURN_NS);
}

/* leat, and a bare loop of reads, or of products, behind it or, every second time, before it: long enough to meet what
 * leat meets, where a look takes the best moment. */
static int take_turn(bench *b, const bench_row *r, size_t rep) {
    double *own = &samples(b, OWN)[rep];
    size_t n = (size_t)MAX(r->n_prompt, r->n_gen);
    bounds_machine m = {0};
    bool first = rep % 2;
    if (b->probe && first) bounds_mean(b->probe, r->n_prompt > 0, turn_ns(n, own[-1]), &m);
    int status = time_own(b, r, b->l.session, r->n_depth, n, own);
    if (status || !b->probe) return status;
    if (!first) bounds_mean(b->probe, r->n_prompt > 0, turn_ns(n, *own), &m);
    double bound = bound_of(b, r, &m);
    samples(b, SUSTAINED)[rep] = bound > 0 ? *own / bound : 0;
    return TOOLS_OK;
}

/* Everybody once; every second time the other way round, so that what drifts favours nobody. */
static int take_turns(bench *b, const bench_row *r, size_t rep) {
    size_t n = b->head.n_peers + 1;
    int status = TOOLS_OK;
    for (size_t i = 0; i < n && !status; i++) {
        size_t who = rep % 2 ? n - 1 - i : i;
        if (who) {
            status = time_peer(b, r, who - 1, &samples(b, SAMPLES + who - 1)[rep]);
            continue;
        }
        status = take_turn(b, r, rep);
        if (!status && r->n_depth && r->n_gen)
            status = time_own(b, r, b->shallow, 0, (size_t)r->n_gen, &samples(b, SHALLOW)[rep]);
    }
    return status;
}

/* What a repetition is held against: the better of the looks before and after it. */
static void judge(bench *b, const bench_row *r, size_t rep, const bounds_machine looks[2]) {
    bounds_machine m = {.read_bytes_s = MAX(looks[0].read_bytes_s, looks[1].read_bytes_s),
                        .dot_mac_s = MAX(looks[0].dot_mac_s, looks[1].dot_mac_s),
                        .float_mac_s = MAX(looks[0].float_mac_s, looks[1].float_mac_s)};
    double own = samples(b, OWN)[rep];
    double bound = bound_of(b, r, &m);
    samples(b, SHARE)[rep] = bound > 0 ? own / bound : 0;
    samples(b, GROWTH)[rep] = 0;
    if (!r->n_depth || !r->n_gen || bound <= 0) return;
    double more_s = 1 / bound - 1 / bounds_decode(&b->counted, &m, r->n_gen, 0);
    samples(b, GROWTH)[rep] = 1 / own / (1 / samples(b, SHALLOW)[rep] + more_s);
}

static void sum_up(bench *b, bench_row *r) {
    size_t n = (size_t)b->o->n_reps;
    for (size_t p = 0; p < b->head.n_peers; p++) {
        double *theirs = samples(b, SAMPLES + p), *ratios = samples(b, RATIO);
        for (size_t i = 0; i < n; i++) ratios[i] = samples(b, OWN)[i] / theirs[i];
        double ratio = sort_median(ratios, n);
        r->peers[p] = (bench_ratio){sort_median(theirs, n), ratio, ratios[0], ratios[n - 1]};
    }
    r->deviation = deviation(samples(b, OWN), n);
    r->tok_s = sort_median(samples(b, OWN), n);
    r->share = sort_median(samples(b, SHARE), n);
    r->bound = r->share > 0 ? r->tok_s / r->share : 0;
    r->sustained = b->probe ? sort_median(samples(b, SUSTAINED), n) : 0;
    r->growth = r->n_depth && r->n_gen ? sort_median(samples(b, GROWTH), n) : 0;
}

static void look(const bench *b, bounds_machine *out) {
    if (b->probe) bounds_look(b->probe, LOOK_NS, out);
    else *out = *b->head.machine;
}

/* What was read for the row; of prompts said of a repetition. Where anything was, the disk bounds it, too. */
static void note_reads(const bench *b, bench_row *r) {
    leat_stats now = leat_session_stats(b->l.session), before = b->meter.before;
    uint64_t n = (uint64_t)b->o->n_reps;
    if (now.read_bytes > before.read_bytes) {
        double compute_ns = r->n_gen ? load_meter_compute_ns(&b->meter, &now) : r->bound > 0 ? 1e9 / r->bound : 0;
        r->reads = load_meter_read(&b->meter, &now, compute_ns);
        r->bound = r->reads.bound;
        r->share = r->tok_s / r->bound;
    }
    if (r->n_gen && (now.reads || b->o->memory.map)) load_say_stats(b->t, &b->l, &b->meter);
    if (r->n_gen) return;
    now.read_bytes = before.read_bytes + (now.read_bytes - before.read_bytes) / n;
    now.busy_ns = before.busy_ns + (now.busy_ns - before.busy_ns) / n;
    now.disk_bytes = before.disk_bytes + (now.disk_bytes - before.disk_bytes) / n;
    now.major_faults = before.major_faults + (now.major_faults - before.major_faults) / n;
    load_say_prompt(b->t, &before, &now, b->meter.ns / n);
}

/* The session holds the row's depth already; each repetition starts there. A first one warms up, uncounted; but prompts
 * on streamed weights begin with nothing read, in memory that has been touched. */
static int measure(bench *b, bench_row *r) {
    size_t n = (size_t)MAX(r->n_prompt, r->n_gen), n_reps = (size_t)b->o->n_reps;
    tools_progress bar;
    char label[48];
    double ignored;
    bounds_machine looks[2];
    fmt(label, sizeof label, "%s%zu, %d thread%s", r->n_prompt ? "pp" : "tg", n, r->n_threads,
        r->n_threads == 1 ? "" : "s");
    tools_progress_start(&bar, b->t, label);
    leat_session_await_memory(b->l.session);
    bool cold = r->n_prompt && leat_session_stats(b->l.session).weights_bytes;
    int status = cold ? TOOLS_OK
                      : time_own(b, r, b->l.session, r->n_depth, r->n_prompt ? n : MIN(n, (size_t)4), &ignored);
    load_meter_start(&b->meter, b->l.session);
    look(b, &looks[0]);
    b->recorded.generated = r->n_gen > 0;
    for (size_t rep = 0; rep < n_reps && !status; rep++) {
        tools_progress_show(&bar, rep, n_reps, "repetitions");
        if ((status = take_turns(b, r, rep))) break;
        look(b, &looks[(rep + 1) % 2]);
        judge(b, r, rep, looks);
    }
    tools_progress_end(&bar);
    b->recorded.generated = false;
    if (status) return status;
    sum_up(b, r);
    note_reads(b, r);
    return TOOLS_OK;
}

static int measure_depth(bench *b, int32_t depth) {
    const bench_values *o = b->o;
    int status = rewind_to(b, b->l.session, 0);
    if (!status && depth) status = feed(b, b->l.session, 0, (size_t)depth, (size_t)depth, LEAT_PROMPT);
    for (size_t i = 0; i < o->n_prompt.n + o->n_gen.n && !status; i++) {
        bench_row r = {.n_depth = depth, .n_threads = leat_session_threads(b->l.session)};
        if (i < o->n_prompt.n) r.n_prompt = o->n_prompt.at[i];
        else r.n_gen = o->n_gen.at[i - o->n_prompt.n];
        if (!r.n_prompt && !r.n_gen) continue; /* -p 0: no such test */
        if (!(status = measure(b, &r))) bench_show_row(b->t, &b->head, &r, !b->n_rows++);
    }
    return status;
}

static size_t largest(const tools_ints *list) {
    int32_t max = 0;
    for (size_t i = 0; i < list->n; i++) max = MAX(max, list->at[i]);
    return (size_t)max;
}

static void record(void *user, const leat_routed *what) {
    bench *b = user;
    trace_write_put(&b->recorded, what);
}

static int open_sessions(bench *b, int n_threads) {
    load_options options = {.path = b->o->model, .cache = b->o->cache, .n_ctx = (int32_t)b->n_tokens,
                            .n_threads = n_threads, .no_pin = b->o->no_pin, .isa = b->o->isa, .quiet = true};
    if (b->o->routing) options.routing = &b->routing;
    if (b->recorded.out) {
        options.routed = record;
        options.user = b;
    }
    int status = load_session(b->t, &b->l, &options);
    if (status || !b->head.depths) return status;
    loaded other = {.model = b->l.model};
    options.n_ctx = (int32_t)largest(&b->o->n_gen);
    status = load_session(b->t, &other, &options);
    b->shallow = other.session;
    return status;
}

static int measure_threads(bench *b, const bounds_machine *machine) {
    err e;
    b->head.machine = machine;
    int status = open_sessions(b, machine->n_threads);
    if (!status) load_say_memory(b->t, &b->l, false);
    /* After the sessions: what the probe holds is not to be missing when they choose how to hold the weights. */
    bool room = !b->o->memory.ram; /* all of that is for them */
    if (!status && room && bounds_probe_open(&b->probe, b->k, machine->n_threads, b->o->no_pin, 0, &e))
        status = tools_fail_text(b->t, e.text);
    for (size_t i = 0; i < b->o->n_depth.n && !status; i++) status = measure_depth(b, b->o->n_depth.at[i]);
    bounds_probe_close(b->probe);
    leat_session_close(b->shallow);
    leat_session_close(b->l.session);
    b->probe = NULL;
    b->l.session = b->shallow = NULL;
    return status;
}

static int measure_machine(bench *b, const tools_ints *n_threads) {
    err e;
    if (kern_choose(&b->k, b->o->isa, &e)) return tools_fail_text(b->t, e.text);
    for (size_t i = 0; i < n_threads->n; i++) {
        if (bounds_measure(&b->machines[i], b->k, n_threads->at[i], b->o->no_pin, b->o->memory.ram, &e))
            return tools_fail_text(b->t, e.text);
        if (plat_interrupted()) return TOOLS_INTERRUPTED;
    }
    return TOOLS_OK;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static int draw_tokens(bench *b) {
    const bench_values *o = b->o;
    b->n_tokens = MAX(largest(&o->n_prompt), largest(&o->n_gen)) + largest(&o->n_depth);
    if (b->n_tokens == largest(&o->n_depth)) return tools_usage(b->t, "-p 0 -n 0 leaves nothing to measure");
    if (b->n_tokens > LEAT_CTX_MAX)
        return tools_usage(b->t, "%zu tokens are more than the %d that a context may hold", b->n_tokens, LEAT_CTX_MAX);
    b->tokens = mem_block(MEM_TOOLS, b->n_tokens * sizeof *b->tokens);
    b->samples = mem_block(MEM_TOOLS, (SAMPLES + b->head.n_peers) * (size_t)o->n_reps * sizeof *b->samples);
    if (!b->tokens || !b->samples) return tools_fail(b->t, "no memory for %zu tokens", b->n_tokens);
    rng r;
    rng_seed(&r, 1);
    for (size_t i = 0; i < b->n_tokens; i++)
        b->tokens[i] = (int32_t)(rng_u64(&r) % (uint64_t)leat_model_n_vocab(b->l.model));
    return TOOLS_OK;
}

static int open_all(bench *b) {
    const bench_values *o = b->o;
    err e;
    load_options options = {.path = o->model, .memory = o->memory};
    if (o->vs.n > BENCH_PEERS_MAX) return tools_usage(b->t, "at most %d --vs", BENCH_PEERS_MAX);
    for (size_t i = 0; i < o->vs.n; i++) {
        b->peers[i] = peer_of(o->vs.at[i]);
        if (!str_trim(str_of(b->peers[i].line)).len)
            return tools_usage(b->t, "--vs: '%.100s' has no command", o->vs.at[i]);
    }
    if (o->record && tools_check_out(o->record, (const char *const[]){o->model, o->routing}, 2, &e))
        return tools_usage(b->t, "%s", e.text);
    double others = plat_load();
    if (others > LOAD_BUSY)
        tools_err(b->t, "leat bench: warning: %.1f other tasks want the cores; the figures will be too low\n", others);
    int status = load_model(b->t, &b->l, &options);
    if (status) return status;
    if (o->routing && (trace_open(&b->trace, o->routing, &e) || trace_routing(&b->trace, &b->routing, &e)))
        return tools_fail_text(b->t, e.text);
    quant_id type_k = load_cache_type(o->cache.k), type_v = load_cache_type(o->cache.v);
    uint64_t n_used = o->routing ? (uint64_t)b->routing.n_used : 0;
    if (bounds_count(&b->counted, o->model, type_k, type_v, n_used, &e)) return tools_fail_text(b->t, e.text);
    b->head = (bench_head){.model = b->l.model, .counted = &b->counted, .machines = b->machines, .format = o->format,
                           .peers = b->peers, .n_peers = o->vs.n, .n_reps = o->n_reps,
                           .depths = largest(&o->n_depth) && largest(&o->n_gen)};
    trace_shape shape = {b->counted.n_layer, b->counted.n_expert, b->counted.n_used, b->counted.expert_bytes};
    if (o->record && trace_write_open(&b->recorded, o->record, &shape, &e)) return tools_fail_text(b->t, e.text);
    plat_cpu_name(b->head.cpu, sizeof b->head.cpu);
    return draw_tokens(b);
}

static int run(tools *t, const void *values) {
    static const tools_ints all_cores = {{0}, 1};
    bench b = {.t = t, .o = values};
    const tools_ints *threads = b.o->n_threads.n ? &b.o->n_threads : &all_cores;
    int status = open_all(&b);
    if (!status) status = measure_machine(&b, threads);
    if (!status) {
        b.head.isa = kern_name(b.k);
        b.head.n_machines = threads->n;
        bench_show_head(t, &b.head);
    }
    for (size_t i = 0; i < threads->n && !status; i++) status = measure_threads(&b, &b.machines[i]);
    if (b.head.format) bench_show_end(t, &b.head, !b.n_rows);
    mem_block_free(b.samples);
    mem_block_free(b.tokens);
    trace_close(&b.trace);
    err e;
    if (trace_write_close(&b.recorded, !status, &e)) status = tools_fail_text(t, e.text);
    load_close(&b.l);
    return status;
}

#define T bench_values
static const tools_option options[] = {
    TOOLS_MODEL(T, model),
    TOOLS_INTS(T, n_prompt, 'p', "n-prompt", "LIST", 0, 1 << 24, "prompt lengths to measure; 0: none ({})"),
    TOOLS_INTS(T, n_gen, 'n', "n-gen", "LIST", 0, 1 << 24, "numbers of tokens to generate; 0: none ({})"),
    TOOLS_INTS(T, n_depth, 'd', "n-depth", "LIST", 0, 1 << 24, "tokens in the context before ({})"),
    TOOLS_INTS(T, n_threads, 't', "threads", "LIST", 1, 256, "threads (default: one per core available)"),
    TOOLS_INT(T, n_reps, 'r', "repetitions", "N", 1, 1000, "of each test ({})"),
    TOOLS_STRS(T, vs, 0, "vs", "[NAME: ]CMD", "take turns with another bench, see below; may be repeated"),
    TOOLS_INT(T, limit_s, 0, "vs-limit", "SECONDS", 1, 86400, "for one run of CMD ({})"),
    TOOLS_CHOICE(T, format, 'o', "output", "md|json|csv", "format ({})"),
    TOOLS_ISA(T, isa),
    TOOLS_NO_PIN(T, no_pin),
    TOOLS_STR(T, routing, 0, "routing", "TRACE", "force recorded routing on a model of as many layers and experts"),
    TOOLS_STR(T, record, 0, "record", "TRACE", "write the routing that occurred, for `leat cache-sim --prompt`"),
    TOOLS_FLOAT(T, accept, 0, "accept", "R", 0, 1, "generate with guesses of which a share R is right; 0: none ({})"),
    TOOLS_INT(T, n_draft, 0, "draft-max", "N", 1, 64, "guesses at a time, with --accept ({})"),
    LOAD_CACHE(T, cache),
    LOAD_MEMORY(T, memory),
};
#undef T

const tools_command tools_bench = {
    .name = "bench",
    .summary = "Measure speeds, and the bounds this machine sets them",
    .usage = "-m FILE [-p LIST] [-n LIST] [-d LIST] [-t LIST] [-r N] [--vs CMD] [-o md|json|csv]",
    .notes = "A list is numbers (128,512) or ranges (1-4, 0-4096+1024, 64-512*2). ppN feeds a prompt of N random "
             "tokens, tgN generates N, one by one; @ dN: after N others. Figures are medians of the repetitions.\n"
             "The bound of tg is the read bandwidth divided by the bytes a token reads (all weights but the input "
             "embedding, of experts those used, and the KV cache at this depth); that of pp is the multiply-adds "
             "divided by their peak, or the weights read once if that takes longer. Both are measured again beside "
             "each repetition. A model that fits into the caches may read faster than memory: its share then exceeds "
             "1. The growth of tg at a depth is its time over that at depth 0 and the time to read the keys and "
             "values.\n"
             "Where weights are streamed, counting begins when the memory for them has been touched, and a first "
             "prompt when nothing has been read: -r 1 shows it alone, later ones find experts in memory. The bound is "
             "then the lesser of the disk's speed, as probed or better, divided by the bytes that a token read, and of "
             "computing: of pp as above, of tg as the quickest 8 tokens in a row without their waiting for reads.\n"
             "CMD is a line of the shell. {file}, {threads}, {n_prompt}, {n_gen} (one of them 0) and {depth} are "
             "replaced in it. It runs once a repetition and prints tokens a second: a JSON field avg_ts or tok_s, a "
             "column of these names in CSV, a column t/s or tok/s in a table, or a number before tok/s, t/s, tokens/s "
             "or tokens per second. The last one counts, and must be plain: 1,234.5 is refused, and so are two in one "
             "line. The ratio is the median of the repetitions' own, which are neighbours in time.\n"
             "  --vs 'llama-bench -m {file} -t {threads} -p {n_prompt} -n {n_gen} -d {depth} -r 1 -o json'",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(bench_values),
    .defaults = defaults,
    .run = run,
};
