# bench-report.awk: the rows that bench.sh measured as a page and a picture.
function cut(line, into,    n, i, c, quoted, cell) {
    n = 0; cell = ""; quoted = 0
    for (i = 1; i <= length(line); i++) {
        c = substr(line, i, 1)
        if (c == "\"") quoted = !quoted
        else if (c == "," && !quoted) { into[++n] = cell; cell = "" }
        else cell = cell c
    }
    into[++n] = cell
    return n
}
function read_row(name,    file, n, i, line, head, cells, last) {
    file = rows "/" name ".csv"
    if ((getline line < file) <= 0) return 0
    n = cut(line, head)
    for (i = 1; i <= n && head[i] != "peer"; i++) column[head[i]] = i
    if ((getline line < file) <= 0) return 0
    close(file)
    last = head[n]
    n = cut(line, cells)
    if (last == "sustained") v[name, last] = cells[n]
    for (i in column) v[name, i] = cells[column[i]]
    best[name] = 0
    for (i = column["growth"] + 1; i + 4 <= n; i += 5) {
        peer[name, cells[i]] = cells[i + 1]
        span[name, cells[i]] = cells[i + 3] " to " cells[i + 4]
        if (cells[i + 1] + 0 > best[name]) { best[name] = cells[i + 1] + 0; who[name] = cells[i] }
    }
    return 1
}
function verdict(seen, wanted, most) {
    if (wanted == "-") return ""
    return (most ? seen <= wanted + 0 : seen + 0.005 >= wanted + 0) ? "yes" : "**no**"
}
function cell(name, who_) { return ((name, who_) in peer) ? sprintf("%.1f", peer[name, who_]) : "" }
function table(title, like,    i, name, ratio, generates) {
    print "\n## " title "\n"
    generates = like ~ /tg/
    print "| | leat, tok/s | bound | share |" (generates ? " of a bare read in turns |" : "") \
        " wanted | met | llama.cpp | ik_llama.cpp | over the better | wanted | met |"
    print "| --- | ---: | ---: | ---: |" (generates ? " ---: |" : "") " ---: | :-: | ---: | ---: | ---: | ---: | :-: |"
    for (i = 1; i <= n_rows; i++) {
        name = order[i]
        if (name !~ like) continue
        ratio = best[name] ? v[name, "tok_s"] / best[name] : 0
        printf "| %s | %.1f | %.1f | %.2f |%s %s | %s | %s | %s | %s | %s | %s |\n", label[name], v[name, "tok_s"],
            v[name, "bound_tok_s"], v[name, "share"],
            (generates ? (v[name, "sustained"] > 0 ? sprintf(" %.2f |", v[name, "sustained"]) : " |") : ""), (wanted_share[name] == "-" ? "" : wanted_share[name]),
            verdict(v[name, "share"], wanted_share[name]), cell(name, "llama.cpp"), cell(name, "ik_llama.cpp"),
            (ratio ? sprintf("%.2fx", ratio) : ""), (wanted_ratio[name] == "-" ? "" : wanted_ratio[name] "x"),
            (ratio ? verdict(ratio, wanted_ratio[name]) : "")
    }
}
{
    if (!read_row($1)) next
    order[++n_rows] = $1
    label[$1] = $2 " " toupper($3) ($2 == "1.1b" ? "" : $1 ~ /^pp-/ ? ", a prompt of 512" : ", generation")
    wanted_share[$1] = $5; wanted_ratio[$1] = $6; wanted_growth[$1] = $7
}
function bar(y, width, colour, text) {
    printf "<rect x=\"150\" y=\"%d\" width=\"%.1f\" height=\"9\" fill=\"%s\"/>\n", y, width, colour > svg
    printf "<text x=\"%.1f\" y=\"%d\" fill=\"#555\">%s</text>\n", 154 + width, y + 8, text > svg
}
# One group of bars a row, each scaled to its bound, which is the full width.
function picture_of(    i, name, y, full, x) {
    y = 60; full = 500
    for (i = 1; i <= n_rows; i++) if (order[i] !~ /^depth/) y += 44
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"%d\" font-family=\"sans-serif\" font-size=\"10\">\n", y > svg
    print "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>" > svg
    print "<text x=\"10\" y=\"18\" font-size=\"13\">tokens a second as a share of the bound of this machine (the line on the right)</text>" > svg
    print "<g fill=\"#555\"><rect x=\"10\" y=\"28\" width=\"9\" height=\"9\" fill=\"#1b6ca8\"/><text x=\"23\" y=\"36\">leat</text><rect x=\"60\" y=\"28\" width=\"9\" height=\"9\" fill=\"#e0a030\"/><text x=\"73\" y=\"36\">ik_llama.cpp</text><rect x=\"150\" y=\"28\" width=\"9\" height=\"9\" fill=\"#b0b0b0\"/><text x=\"163\" y=\"36\">llama.cpp</text></g>" > svg
    printf "<line x1=\"%d\" y1=\"45\" x2=\"%d\" y2=\"%d\" stroke=\"#c00\"/>\n", 150 + full, 150 + full, y - 10 > svg
    y = 50
    for (i = 1; i <= n_rows; i++) {
        name = order[i]
        if (name ~ /^depth/) continue
        x = v[name, "bound_tok_s"] > 0 ? full / v[name, "bound_tok_s"] : 0
        printf "<text x=\"10\" y=\"%d\">%s</text>\n<text x=\"10\" y=\"%d\" fill=\"#555\">%s</text>\n", y + 10, label[name], y + 22,
            (name ~ /^pp/ ? "prompt of 512" : "generation") > svg
        bar(y, x * v[name, "tok_s"], "#1b6ca8", sprintf("%.1f", v[name, "tok_s"]))
        if ((name, "ik_llama.cpp") in peer) bar(y + 12, x * peer[name, "ik_llama.cpp"], "#e0a030", cell(name, "ik_llama.cpp"))
        if ((name, "llama.cpp") in peer) bar(y + 24, x * peer[name, "llama.cpp"], "#b0b0b0", cell(name, "llama.cpp"))
        y += 44
    }
    print "</svg>" > svg
}
# What was written by hand.
function take_notes(    line, n) {
    while ((getline line < notes) > 0) {
        if (!n++) print ""
        print line
    }
}
END {
    if (!n_rows) { print "nothing measured" > "/dev/stderr"; exit 1 }
    one = order[1]
    print "# " v[one, "cpu"] "\n"
    printf "By `make bench`: %s, commit %s, %d threads, random weights. Medians; leat and peers took turns on the same file,\n",
        v[one, "isa"], v[one, "commit"], v[one, "threads"]
    print "and the bound is of looks at the machine beside each repetition: its best moments. \"Of a bare read in turns\" holds a row against"
    print "the mean of a plain read of memory, in turns with it: what a shared machine left to anybody. Peers ran with the flags that are best for the row."
    take_notes()
    print "\n![decode and prefill against the bound](" picture ")"
    table("Generation, 1.1B", "^tg-[^8m]|^tg-mxfp4")
    table("Prompts of 512, 1.1B", "^pp-[^8m]")
    table("Other shapes", "^(tg|pp)-(8b4|moe)")
    print "\n## At a depth\n\n| | leat, tok/s | time over depth 0 and the reading of keys and values | wanted | met |\n| --- | ---: | ---: | ---: | :-: |"
    for (i = 1; i <= n_rows; i++)
        if (order[i] ~ /^depth/)
            printf "| %s, %s | %.1f | %.2f | %s | %s |\n", label[order[i]], order[i], v[order[i], "tok_s"], v[order[i], "growth"],
                wanted_growth[order[i]], verdict(v[order[i], "growth"], wanted_growth[order[i]], 1)
    print "\n## Memory and start\n\n| | peak RSS, MiB | file + keys and values + scratch, MiB | ratio | wanted | met |\n| --- | ---: | ---: | ---: | ---: | :-: |"
    memories = "ls " rows "/memory-*.txt 2> /dev/null"
    while ((memories | getline file) > 0) {
        getline line < file
        split(line, m, ",")
        sum = m[3] + m[4] + m[5]
        printf "| 1.1b %s | %.0f | %.0f | %.3f | 1.02 | %s |\n", toupper(m[1]), m[2] / 1048576, sum / 1048576, m[2] / sum,
            verdict(m[2] / sum, 1.02, 1)
    }
    if ((getline line < (rows "/start.txt")) > 0) {
        split(line, ns, " ")
        step = ("tg-q4_k_m", "tok_s") in v ? 1000 / v["tg-q4_k_m", "tok_s"] : 0
        printf "\nExec to the first token of a one-token prompt, warm, best of 15: %.0f ms; wanted at most 80 ms + a step of generation\n(%.0f ms): %s. To the end of the process: %.0f ms.\n",
            ns[1] / 1e6, step, verdict(ns[1] / 1e6, 80 + step, 1), ns[2] / 1e6
    }
    picture_of()
}
