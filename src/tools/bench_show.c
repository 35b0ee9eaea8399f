/* bench_show.c: the rows of `leat bench` as a table, JSON or CSV. Next: bench.c, which measures them. */
#include "tools/bench.h"
#include "version.h"

/* ---- a table ------------------------------------------------------------------------------------------------ */

/* What begins a new cell does not within a name. */
static const char *cell_md(char to[64], const char *name) {
    size_t n = 0;
    for (; *name && n < 62; to[n++] = *name++)
        if (*name == '|') to[n++] = '\\';
    to[n] = 0;
    return to;
}

static void head_md(tools *t, const bench_head *h) {
    char bytes[32], each[32], cell[64];
    tools_out(t, "cpu      %s, isa %s, leat commit %s\n", h->cpu, h->isa, LEAT_COMMIT);
    tools_out(t, "model    %.80s, %.40s, %s, %.2f M parameters\n", leat_model_name(h->model),
              leat_model_architecture(h->model), fmt_bytes(bytes, sizeof bytes, leat_model_bytes(h->model)),
              (double)leat_model_n_params(h->model) / 1e6);
    tools_out(t, "a token  reads %s of weights, and %s of keys and values for each token before it\n",
              fmt_bytes(bytes, sizeof bytes, (uint64_t)h->counted->read_bytes),
              fmt_bytes(each, sizeof each, (uint64_t)h->counted->kv_bytes));
    for (size_t i = 0; i < h->n_machines; i++) {
        const bounds_machine *m = &h->machines[i];
        tools_out(t, "machine  %d thread%s: ", m->n_threads, m->n_threads == 1 ? "" : "s");
        if (m->read_bytes_s > 0) tools_out(t, "reads %.1f GB/s, ", m->read_bytes_s / 1e9);
        else tools_out(t, "too little memory to measure reads, ");
        tools_out(t, "%.1f G int8 and %.1f G float multiply-adds a second\n", m->dot_mac_s / 1e9,
                  m->float_mac_s / 1e9);
    }
    tools_out(t, "\n| threads | test             |                tok/s |      bound | share |  in turns |");
    if (h->depths) tools_out(t, " growth |");
    for (size_t i = 0; i < h->n_peers; i++)
        tools_out(t, " %10s |               leat is |", cell_md(cell, h->peers[i].name));
    tools_out(t, "\n| ------: | ---------------- | -------------------: | ---------: | ----: | --------: |");
    if (h->depths) tools_out(t, " -----: |");
    for (size_t i = 0; i < h->n_peers; i++) tools_out(t, " ---------: | --------------------: |");
    tools_out(t, "\n");
}

static void row_md(tools *t, const bench_head *h, const bench_row *r) {
    char text[64];
    size_t n = fmt(text, sizeof text, r->n_prompt ? "pp%d" : "tg%d", r->n_prompt ? r->n_prompt : r->n_gen);
    if (r->n_depth) fmt(text + n, sizeof text - n, " @ d%d", r->n_depth);
    tools_out(t, "| %7d | %-16s |", r->n_threads, text);
    fmt(text, sizeof text, "%.2f ± %.2f", r->tok_s, r->deviation);
    tools_out(t, " %21s |", text);
    if (r->bound > 0) tools_out(t, " %10.2f | %5.2f |", r->bound, r->share);
    else tools_out(t, " %10s | %5s |", "", "");
    fmt(text, sizeof text, "%.2f", r->sustained);
    tools_out(t, " %9s |", r->sustained > 0 ? text : "");
    fmt(text, sizeof text, "%.2f", r->growth);
    if (h->depths) tools_out(t, " %6s |", r->growth > 0 ? text : "");
    for (size_t i = 0; i < h->n_peers; i++) {
        const bench_ratio *p = &r->peers[i];
        fmt(text, sizeof text, "%.2fx (%.2f to %.2f)", p->ratio, p->min, p->max);
        tools_out(t, " %10.2f | %21s |", p->tok_s, text);
    }
    tools_out(t, "\n");
}

/* ---- for programs ------------------------------------------------------------------------------------------ */

static void row_json(tools *t, const bench_head *h, const bench_row *r, bool first) {
    tools_out(t, "%s\n  {\"n_prompt\": %d, \"n_gen\": %d, \"n_depth\": %d, \"threads\": %d, ", first ? "[" : ",",
              r->n_prompt, r->n_gen, r->n_depth, r->n_threads);
    tools_out(t, "\"tok_s\": %.6g, \"tok_s_stddev\": %.6g, ", r->tok_s, r->deviation);
    if (r->bound > 0) tools_out(t, "\"bound_tok_s\": %.6g, \"share\": %.6g, ", r->bound, r->share);
    tools_out(t, "\"reps\": %d,\n   ", h->n_reps);
    if (r->reads.token_bytes > 0)
        tools_out(t, "\"hit_rate\": %.6g, \"disk_token_bytes\": %.6g, \"disk_bytes_s\": %.6g, \"disk_share\": %.6g, "
                     "\"stalled\": %.6g, \"major_faults\": %.6g,\n   ",
                  r->reads.hit_rate, r->reads.token_bytes, r->reads.bytes_s, r->reads.disk_share, r->reads.stalled,
                  r->reads.major_faults);
    if (r->sustained > 0) tools_out(t, "\"sustained\": %.6g, ", r->sustained);
    if (r->growth > 0) tools_out(t, "\"growth\": %.6g, ", r->growth);
    for (size_t i = 0; i < h->n_peers; i++) {
        const bench_ratio *p = &r->peers[i];
        tools_out(t, i ? ", " : "\"peers\": [");
        tools_out(t, "{\"name\": ");
        tools_out_json_str(t, str_of(h->peers[i].name));
        tools_out(t, ", \"peer_tok_s\": %.6g, \"ratio\": %.6g, \"ratio_min\": %.6g, \"ratio_max\": %.6g}", p->tok_s,
                  p->ratio, p->min, p->max);
    }
    if (h->n_peers) tools_out(t, "],\n   ");
    tools_out(t, "\"model\": ");
    tools_out_json_str(t, str_of(leat_model_name(h->model)));
    tools_out(t, ", \"architecture\": ");
    tools_out_json_str(t, str_of(leat_model_architecture(h->model)));
    tools_out(t, ", \"model_bytes\": %llu, \"parameters\": %llu, ", (unsigned long long)leat_model_bytes(h->model),
              (unsigned long long)leat_model_n_params(h->model));
    tools_out(t, "\"token_bytes\": %.0f, \"kv_position_bytes\": %.0f,\n   \"cpu\": ", h->counted->read_bytes,
              h->counted->kv_bytes);
    tools_out_json_str(t, str_of(h->cpu));
    tools_out(t, ", \"isa\": \"%s\", \"commit\": \"%s\", ", h->isa, LEAT_COMMIT);
    tools_out(t, "\"read_bytes_s\": %.6g, \"dot_mac_s\": %.6g, \"float_mac_s\": %.6g}", h->machine->read_bytes_s,
              h->machine->dot_mac_s, h->machine->float_mac_s);
}

static void csv_str(tools *t, const char *s) {
    tools_out(t, "\"");
    for (; *s; s++) tools_out(t, *s == '"' ? "\"\"" : "%c", *s);
    tools_out(t, "\",");
}

static void row_csv(tools *t, const bench_head *h, const bench_row *r, bool first) {
    if (first) {
        tools_out(t, "cpu,isa,commit,model,architecture,model_bytes,parameters,token_bytes,read_bytes_s,dot_mac_s,"
                     "float_mac_s,n_prompt,n_gen,n_depth,threads,tok_s,tok_s_stddev,bound_tok_s,share,hit_rate,"
                     "disk_token_bytes,disk_bytes_s,disk_share,stalled,major_faults,growth");
        for (size_t i = 0; i < h->n_peers; i++) tools_out(t, ",peer,peer_tok_s,ratio,ratio_min,ratio_max");
        tools_out(t, ",sustained\n");
    }
    csv_str(t, h->cpu);
    csv_str(t, h->isa);
    csv_str(t, LEAT_COMMIT);
    csv_str(t, leat_model_name(h->model));
    csv_str(t, leat_model_architecture(h->model));
    tools_out(t, "%llu,%llu,%.0f,", (unsigned long long)leat_model_bytes(h->model),
              (unsigned long long)leat_model_n_params(h->model), h->counted->read_bytes);
    tools_out(t, "%.6g,%.6g,%.6g,", h->machine->read_bytes_s, h->machine->dot_mac_s, h->machine->float_mac_s);
    tools_out(t, "%d,%d,%d,%d,%.6g,%.6g,%.6g,%.6g,", r->n_prompt, r->n_gen, r->n_depth, r->n_threads, r->tok_s,
              r->deviation, r->bound, r->share);
    tools_out(t, "%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g", r->reads.hit_rate, r->reads.token_bytes, r->reads.bytes_s,
              r->reads.disk_share, r->reads.stalled, r->reads.major_faults, r->growth);
    for (size_t i = 0; i < h->n_peers; i++) {
        tools_out(t, ",");
        csv_str(t, h->peers[i].name);
        tools_out(t, "%.6g,%.6g,%.6g,%.6g", r->peers[i].tok_s, r->peers[i].ratio, r->peers[i].min, r->peers[i].max);
    }
    tools_out(t, ",%.6g\n", r->sustained);
}

/* ---- any of them ------------------------------------------------------------------------------------------- */

void bench_show_head(tools *t, const bench_head *h) {
    if (cstr_eq(h->format, "md")) head_md(t, h);
    tools_out_flush(t);
}

void bench_show_row(tools *t, const bench_head *h, const bench_row *r, bool first) {
    if (cstr_eq(h->format, "json")) row_json(t, h, r, first);
    else if (cstr_eq(h->format, "csv")) row_csv(t, h, r, first);
    else row_md(t, h, r);
    tools_out_flush(t);
}

void bench_show_end(tools *t, const bench_head *h, bool empty) {
    if (cstr_eq(h->format, "json")) tools_out(t, empty ? "[]\n" : "\n]\n");
}
