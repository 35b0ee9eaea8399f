# bench-streaming-report.awk: the runs that bench-streaming.sh kept as a page and a picture. A figure is the median of
# its runs; a ratio is the median of the runs' own ratios, since the disk's speed differs from run to run.
function median(list, n,    i, j, x) {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j] + 0 < list[j - 1] + 0; j--) { x = list[j]; list[j] = list[j - 1]; list[j - 1] = x }
    return n ? (list[int((n + 1) / 2)] + list[int((n + 2) / 2)]) / 2 : 0
}
# Runs of a row into run[row, number, key].
function read_runs(row,    file, line, n, i, parts, pair) {
    file = rows "/" row ".runs"
    while ((getline line < file) > 0) {
        n = split(line, parts, " ")
        n_runs[row]++
        for (i = 1; i <= n; i++) {
            split(parts[i], pair, "=")
            run[row, n_runs[row], pair[1]] = pair[2]
        }
    }
    close(file)
}
function middle(row, key,    i, n, list) {
    n = 0
    for (i = 1; i <= n_runs[row]; i++) if ((row, i, key) in run) list[++n] = run[row, i, key]
    return median(list, n)
}
function most(row, key,    i, x) {
    x = 0
    for (i = 1; i <= n_runs[row]; i++) if (run[row, i, key] + 0 > x) x = run[row, i, key] + 0
    return x
}
# "200", or "12 to 17" where runs differ; nothing where it was not kept.
function spread(row, key,    i, x, low, high) {
    for (i = 1; i <= n_runs[row]; i++)
        if ((x = run[row, i, key] + 0) > 0) {
            if (!low || x < low) low = x
            if (x > high) high = x
        }
    return low == high ? low : low " to " high
}
# What reading must bring, MB a token: the policy's misses; of dense layers, all of which a token needs, those that found
# no room in the memory for weights.
function wanted_mb(row, i) {
    if ((row, i, "sim_mb") in run) return run[row, i, "sim_mb"] + 0
    return scan_mb[model_of[row]] > run[row, i, "held_mb"] ? scan_mb[model_of[row]] - run[row, i, "held_mb"] : 0
}
function bound_of(row, i,    resident, mb, disk) {
    resident = middle(model_of[row] "-100", "tok_s"); mb = wanted_mb(row, i)
    disk = mb > 0 && run[row, i, "probe"] > 0 ? run[row, i, "probe"] * 1000 / mb : 0
    return disk > 0 && (disk < resident || !resident) ? disk : resident
}
function bound(row,    i, list) {
    for (i = 1; i <= n_runs[row]; i++) list[i] = bound_of(row, i)
    return median(list, n_runs[row])
}
function share(row,    i, list) {
    for (i = 1; i <= n_runs[row]; i++) list[i] = bound_of(row, i) > 0 ? run[row, i, "tok_s"] / bound_of(row, i) : 0
    return median(list, n_runs[row])
}
function ratio(row, a, b,    i, n, list) {
    n = 0
    for (i = 1; i <= n_runs[row]; i++) if (run[row, i, b] + 0 > 0) list[++n] = run[row, i, a] / run[row, i, b]
    return median(list, n)
}
# The figure as measured decides: `wanted` is ">= 0.90" or the like, perhaps with a unit.
function meets(x, wanted,    w) {
    split(wanted, w, " ")
    return w[1] == ">=" ? x + 0 >= w[2] + 0 : w[1] == "<=" ? x + 0 <= w[2] + 0 : x + 0 < w[2] + 0
}
# It is shown with so many digits, or as many as it takes to be on the same side of what is wanted; "": not measured.
function target(text, wanted, x, digits, unit,    seen) {
    if (x == "") { printf "| %s | %s | | not measured |\n", text, wanted; return }
    do seen = sprintf("%." digits "f", x); while (meets(seen, wanted) != meets(x, wanted) && digits++ < 9)
    printf "| %s | %s | %s%s | %s |\n", text, wanted, seen, unit, meets(x, wanted) ? "yes" : "**no**"
}
{
    row = $1; model_of[row] = $2; percent[row] = $3; kind[row] = $4
    order[++n_rows] = row
    read_runs(row)
}
function curve(m,    i, row, b, last, worst, at) {
    printf "\n## %s\n\n", title[m]
    print "| --ram, % of the file | tokens | tok/s | bound | share | experts in memory | read, MB a token | the policy's, MB | GB/s while reading | probe's | stalled | peak over --ram | major faults a token |"
    print "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for (i = n_rows; i >= 1; i--) {
        row = order[i]
        if (model_of[row] != m || kind[row] != "leat" || !n_runs[row]) continue
        if (percent[row] == 100) {
            printf "| all | %s | %.1f | | | | | | | | | | |\n", spread(row, "tokens"), middle(row, "tok_s")
            continue
        }
        printf "| %s | %s | %.2f | %.2f | %.2f | %s | %.1f | %s | %.2f | %.2f | %.0f %% | %s | %.2f |\n",
            percent[row] ? percent[row] : sprintf("%.0f, the least", 100 * middle(row, "ram") / bytes[m]), spread(row, "tokens"), middle(row, "tok_s"),
            bound(row), share(row), (middle(row, "hits") ? sprintf("%.1f %%", middle(row, "hits")) : ""), middle(row, "mb"),
            (middle(row, "sim_mb") ? sprintf("%.1f", middle(row, "sim_mb")) : ""), middle(row, "gb_s"), middle(row, "probe"),
            middle(row, "stalled"), (most(row, "peak") ? sprintf("%.3f", ratio(row, "peak", "ram")) : ""), most(row, "faults")
    }
}
function peers(m,    i, row, own, header) {
    for (i = 1; i <= n_rows; i++) {
        row = order[i]
        if (model_of[row] != m || !(kind[row] in peer_name) || !n_runs[row]) continue
        if (!header++) print "\n| peer | --ram, % of the file | its tokens | tok/s | leat's tokens | leat | leat is |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
        own = middle(m "-" percent[row], "tok_s")
        printf "| %s | %s | %s | %.2f | %s | %.2f | %s |\n", peer_name[kind[row]], percent[row], spread(row, "tokens"), middle(row, "tok_s"),
            spread(m "-" percent[row], "tokens"), own,
            (middle(row, "tok_s") > 0 ? sprintf("%.1fx", own / middle(row, "tok_s")) : "it was killed")
    }
}
function over_peer(m, p, k,    x) {
    x = middle(m "-" p "-" k, "tok_s")
    return x > 0 && n_runs[m "-" p] ? middle(m "-" p, "tok_s") / x : ""
}
# The worst of tok/s over that of 10 % less memory.
function worst_step(m,    i, row, last, x, worst) {
    worst = ""; last = 0
    for (i = n_rows; i >= 1; i--) {
        row = order[i]
        if (model_of[row] != m || kind[row] != "leat" || !n_runs[row] || percent[row] % 10) continue
        x = middle(row, "tok_s")
        if (last > 0 && (worst == "" || x / last < worst)) worst = x / last
        last = x
    }
    return worst
}
function least(a, b) { return a < b ? a : b }
function targets(    m, p, x, all, i, row, resident, each, worst, faults) {
    print "\n## Targets\n\n| | wanted | measured | met |\n| --- | ---: | ---: | :-: |"
    split("moe dense qwen3", all, " ")
    for (i = 1; i <= 2; i++)
        for (p = 25; p <= 75; p += 25) {
            row = all[i] "-" p
            target("generation over the bound, " all[i] ", " p " % of the file in memory", ">= 0.90", n_runs[row] ? share(row) : "", 2)
        }
    for (i = 1; i <= 3; i++)
        for (p = 25; p <= 75; p += 25) {
            row = all[i] "-" p
            if (i < 3 || p == 50) target("disk throughput while reading over the probe's, " all[i] ", " p " %", ">= 0.95", n_runs[row] ? ratio(row, "gb_s", "probe") : "", 2)
        }
    target("generation over llama.cpp (mmap, no repacking), MoE at 50 %", ">= 8x", over_peer("moe", 50, "llama"), 1, "x")
    target("the same, dense at 50 %", ">= 2.4x", over_peer("dense", 50, "llama"), 1, "x")
    target("generation over ik_llama.cpp (mmap; with --prefetch-experts where its bench has that), MoE at 50 %", ">= 2x", over_peer("moe", 50, "ik"), 1, "x")
    target("generation over BigMoeOnEdge, MoE at 50 %", ">= 1.2x", over_peer("moe", 50, "moe"), 1, "x")
    for (i = 1; i <= 2; i++) {
        row = all[i] "-prompt"; resident = middle(row "-100", "tok_s"); x = ""
        if (n_runs[row] && resident > 0) {
            each = middle(row, "probe") * 1e9 / bytes[all[i]] * 512
            x = 512 / middle(row, "prompt_s") / least(resident, each)
        }
        target("prompt of 512 over the lesser of resident speed and each byte once, " all[i] ", 50 %", ">= 0.9", x, 2)
    }
    for (i = 1; i <= 2; i++) {
        row = all[i] "-first-50"
        x = middle(row, "prompt_mb") > 0 && middle(row, "probe") > 0 ? middle(row, "prompt_s") / (middle(row, "prompt_mb") / 1000 / middle(row, "probe")) : ""
        target("time of a prompt of 8 over what it must read at the probe's speed, " all[i] ", 50 %", "<= 1.3", x, 2)
    }
    for (i = 1; i <= 3; i++)
        if (all[i] in bytes) target("each 10 % more memory: tok/s over the step before, the worst, " all[i], ">= 0.98", worst_step(all[i]), 2)
    target("bytes read over Belady's, Qwen3 trace at 25 %", "<= 1.6", belady[25], 2)
    target("hits below one token cycle, the same at 3 %", ">= 25 %", belady[3], 1, " %")
    x = ratio("dense-accept", "tok_s", "plain")
    target("dense with guesses, 70 % right, over without, 50 %", ">= 2.5x", x ? x : "", 2, "x")
    worst = faults = ""
    for (i = 1; i <= n_rows; i++) {
        row = order[i]
        if (kind[row] != "leat" || percent[row] == 100 || !n_runs[row]) continue
        for (p = 1; p <= n_runs[row]; p++)
            if (run[row, p, "peak"] > worst * run[row, p, "ram"]) worst = run[row, p, "peak"] / run[row, p, "ram"]
        if (most(row, "faults") >= faults + 0) faults = most(row, "faults")
    }
    target("peak memory of the control group over --ram, the most of all runs", "<= 1.00", worst, 3)
    target("major faults a token, the most of all runs", "< 1", faults, 2)
    print "| logits, any budget, read ahead or not, any way of reading: the same bits | yes | tested by `make check` | yes |"
}
# One panel a model: tok/s over memory.
function panel(m, top,    i, row, x, y, high, path, line, left, width, height, list) {
    left = 60; width = 640; height = 150; high = 0
    for (i = 1; i <= n_rows; i++)
        if (model_of[order[i]] == m && kind[order[i]] == "leat" && n_runs[order[i]]) {
            if (middle(order[i], "tok_s") > high) high = middle(order[i], "tok_s")
        }
    if (high <= 0) return top
    high *= 1.1
    printf "<text x=\"10\" y=\"%d\" font-size=\"13\">%s</text>\n", top, title[m] > svg
    printf "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"#ccc\"/>\n", left, top + 10, width, height > svg
    for (i = 0; i <= 100; i += 10) printf "<text x=\"%.1f\" y=\"%d\" fill=\"#555\" text-anchor=\"middle\">%d %%</text>\n", left + width * i / 100, top + 24 + height, i > svg
    for (i = 0; i <= 4; i++) printf "<text x=\"%d\" y=\"%.1f\" fill=\"#555\" text-anchor=\"end\">%.1f</text>\n", left - 5, top + 14 + height * (1 - i / 4), high * i / 4 > svg
    path = line = ""
    for (i = n_rows; i >= 1; i--) {
        row = order[i]
        if (model_of[row] != m || !n_runs[row]) continue
        x = left + width * (percent[row] ? percent[row] : 100 * middle(row, "ram") / bytes[m]) / 100
        y = top + 10 + height * (1 - middle(row, "tok_s") / high)
        if (kind[row] == "leat") {
            path = path sprintf("%.1f,%.1f ", x, y)
            line = line sprintf("%.1f,%.1f ", x, top + 10 + height * (1 - least(percent[row] == 100 ? middle(row, "tok_s") : bound(row), high) / high))
            printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"#1b6ca8\"/>\n", x, y > svg
        } else if (kind[row] in peer_name)
            printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"6\" height=\"6\" fill=\"%s\"/>\n", x - 3, y - 3, colour[kind[row]] > svg
    }
    printf "<polyline points=\"%s\" fill=\"none\" stroke=\"#c00\" stroke-dasharray=\"4 3\"/>\n", line > svg
    printf "<polyline points=\"%s\" fill=\"none\" stroke=\"#1b6ca8\" stroke-width=\"1.5\"/>\n", path > svg
    return top + height + 50
}
function draw(    top, i, names, n) {
    n = split("moe dense qwen3", names, " ")
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"650\" font-family=\"sans-serif\" font-size=\"10\">" > svg
    print "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>" > svg
    print "<text x=\"10\" y=\"18\">tokens a second over --ram in percent of the file: leat (blue), the bound (red), llama.cpp (grey), ik_llama.cpp (orange), BigMoeOnEdge (green)</text>" > svg
    top = 45
    for (i = 1; i <= n; i++) top = panel(names[i], top)
    print "</svg>" > svg
}
# "3 runs a row", or "1 to 3 runs a row".
function runs_there_are(    i, low, high, n) {
    for (i = 1; i <= n_rows; i++)
        if ((n = n_runs[order[i]]) > 0) {
            if (!low || n < low) low = n
            if (n > high) high = n
        }
    return (low == high ? low + 0 : low " to " high) (high == 1 ? " run a row" : " runs a row")
}
# What was written by hand.
function take_notes(    line, n) {
    while ((getline line < notes) > 0) {
        if (!n++) print ""
        print line
    }
}
END {
    title["dense"] = "Dense, 1.17 GB, Q8_0"; title["moe"] = "Mixture of experts, 3.8 GB, Q4_K: 16 layers, 64 experts, 8 used"
    title["qwen3"] = "48 layers of 128 experts, 2.9 GB, Q4_K, with routing recorded from Qwen3-30B-A3B, 6 used"
    peer_name["llama"] = "llama.cpp"; peer_name["ik"] = "ik_llama.cpp"; peer_name["moe"] = "BigMoeOnEdge"
    colour["llama"] = "#909090"; colour["ik"] = "#e0a030"; colour["moe"] = "#40a060"
    while ((getline line < (rows "/models.txt")) > 0) { split(line, f, " "); bytes[f[1]] = f[2]; scan_mb[f[1]] = f[4] / 1e6 }
    while ((getline line < (rows "/belady.txt")) > 0) {
        n = split(line, f, "|")
        if (n > 11 && f[3] + 0 == 25 && f[11] + 0 > 0) belady[25] = f[9] / f[11]
        if (n > 11 && f[3] + 0 == 3) belady[3] = f[8] + 0
    }
    print "# Models larger than the memory, measured: " machine "\n"
    printf "By `make bench-streaming`: %s, %d threads, random weights, random ids (or recorded routing). Medians of %s;\n", commit, threads, runs_there_are()
    print "rows took turns. Each run began with the file out of the page cache" (grouped ? ", in a control group whose memory is limited to `--ram`, page cache included." : "; no control group could be made, so nothing but leat itself kept to `--ram`.")
    print "The bound is the lesser of the resident speed and the disk's as probed in the same run over the bytes that the policy needs: for\nexperts those that `leat cache-sim` counts for the routing that occurred, in as much memory; for dense layers what the memory for\nweights does not hold."
    print "The figure as measured decides, without rounding. Generation is of so many tokens as the tables say: 200, fewer where a token\nreads much; a peer has as many as leat, or as many as it does in " peer_seconds " seconds, its loading included."
    take_notes()
    print "\n![tokens a second over memory](" picture ")"
    targets()
    curve("moe"); peers("moe")
    curve("dense"); peers("dense")
    if ("qwen3" in bytes) curve("qwen3")
    draw()
}
