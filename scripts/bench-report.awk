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
    if (last == "sustained") v[name, last] = cells[n] + 0
    for (i in column) v[name, i] = i ~ /^(cpu|isa|commit|model|architecture)$/ ? cells[column[i]] : cells[column[i]] + 0
    best[name] = 0
    for (i = column["growth"] + 1; i + 4 <= n; i += 5) {
        peer[name, cells[i]] = cells[i + 1] + 0
        over[name, cells[i]] = cells[i + 2] + 0
        if (!best[name] || over[name, cells[i]] < best[name]) {
            best[name] = over[name, cells[i]]
            span[name] = sprintf("%.2f to %.2f", cells[i + 3], cells[i + 4])
        }
    }
    # What share and bound are of each repetition: the bound shown is the one of which the speed is this share.
    bound[name] = v[name, "share"] > 0 ? v[name, "tok_s"] / v[name, "share"] : 0
    # No share of what cannot be beaten is above 1: the looks fell into slower moments than the repetitions.
    above[name] = v[name, "share"] > 1
    judged[name] = v[name, above[name] ? "sustained" : "share"]
    if (judged[name] > 1) judged[name] = 0
    return 1
}
function meets(seen, wanted, most) { return most ? seen + 0 <= wanted + 0 : seen + 0 >= wanted + 0 }
function verdict(seen, wanted, most) { return wanted == "-" ? "" : meets(seen, wanted, most) ? "yes" : "**no**" }
# With three digits, or as many as it takes to be on the same side of what is wanted.
function shown(seen, wanted, most,    digits, text) {
    for (digits = 3; digits < 9; digits++) {
        text = sprintf("%." digits "f", seen)
        if (wanted == "-" || meets(text, wanted, most) == meets(seen, wanted, most)) break
    }
    return text
}
function share_verdict(name,    wanted) {
    wanted = wanted_share[name]
    if (wanted == "-") return ""
    if (!judged[name]) return "void"
    return verdict(judged[name], wanted) (above[name] ? ", in turns" : "")
}
function cell(name, who_) { return ((name, who_) in peer) ? sprintf("%.1f", peer[name, who_]) : "" }
function table(title, like,    i, name, wanted) {
    print "\n## " title "\n"
    print "| | leat, tok/s | bound | share | of the bare loop in turns |" \
        " wanted | met | llama.cpp | ik_llama.cpp | over the better | wanted | met |"
    print "| --- | ---: | ---: | ---: | ---: | ---: | :-: | ---: | ---: | ---: | ---: | :-: |"
    for (i = 1; i <= n_rows; i++) {
        name = order[i]
        if (name !~ like) continue
        wanted = wanted_share[name]
        printf "| %s | %.1f | %s | %s |%s %s | %s | %s | %s | %s | %s | %s |\n", label[name], v[name, "tok_s"],
            (bound[name] ? sprintf("%.1f", bound[name]) : ""), (bound[name] ? shown(v[name, "share"], wanted) : ""),
            (v[name, "sustained"] > 0 ? " " shown(v[name, "sustained"], wanted) : "") " |",
            (wanted == "-" ? "" : wanted), share_verdict(name), cell(name, "llama.cpp"), cell(name, "ik_llama.cpp"),
            (best[name] ? shown(best[name], wanted_ratio[name]) "x (" span[name] ")" : ""),
            (wanted_ratio[name] == "-" ? "" : wanted_ratio[name] "x"),
            (best[name] ? verdict(best[name], wanted_ratio[name]) : "")
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
# One group of bars a row, each as long as the row's share says, the peers' by their ratios; the bound is the full width.
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
        x = full * judged[name]
        printf "<text x=\"10\" y=\"%d\">%s</text>\n<text x=\"10\" y=\"%d\" fill=\"#555\">%s</text>\n", y + 10, label[name], y + 22,
            (name ~ /^pp/ ? "prompt of 512" : "generation") > svg
        bar(y, x, "#1b6ca8", sprintf("%.1f", v[name, "tok_s"]) (!x ? ", void" : above[name] ? ", in turns" : ""))
        if (x && (name, "ik_llama.cpp") in peer) bar(y + 12, x / over[name, "ik_llama.cpp"], "#e0a030", cell(name, "ik_llama.cpp"))
        if (x && (name, "llama.cpp") in peer) bar(y + 24, x / over[name, "llama.cpp"], "#b0b0b0", cell(name, "llama.cpp"))
        y += 44
    }
    print "</svg>" > svg
}
# type, bytes of the file, then of the run with the file mapped and of that with it read: peak RSS, peak of anonymous memory,
# keys and values, scratch.
function memories(    files, file, line, m, n, sum, read_more, mapped_more) {
    files = "ls " rows "/rss-*.txt 2> /dev/null"
    while ((files | getline file) > 0) {
        getline line < file
        split(line, m, ",")
        if (!n++) {
            print "| | peak RSS of a full context of 256, MiB | file + keys and values + scratch, MiB | ratio | wanted | met |" \
                " a second copy of the weights: mapped, anonymous memory beyond keys, values and scratch, MiB |" \
                " read, peak beyond file, keys, values and scratch, MiB | none, that is below a tenth of the file |"
            print "| --- | ---: | ---: | ---: | ---: | :-: | ---: | ---: | :-: |"
        }
        sum = m[2] + m[5] + m[6]
        mapped_more = m[4] - m[5] - m[6]
        read_more = m[7] - m[2] - m[9] - m[10]
        printf "| 1.1b %s | %.1f | %.1f | %s | 1.02 | %s | %.1f | %.1f | %s |\n", toupper(m[1]), m[3] / 1048576, sum / 1048576,
            shown(m[3] / sum, 1.02, 1), verdict(m[3] / sum, 1.02, 1), mapped_more / 1048576, read_more / 1048576,
            mapped_more < m[2] / 10 && read_more < m[2] / 10 ? "yes" : "**no**"
    }
    if (!n) print "Memory: not measured."
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
    print "# " machine "\n"
    printf "By `make bench`: %s, commit %s, %d threads, random weights. Medians; leat and peers took turns on the same file,\n",
        v[one, "isa"], v[one, "commit"], v[one, "threads"]
    print "and the bound is of looks at the machine beside each repetition: its best moments. \"Of the bare loop in turns\" holds a row against"
    print "the mean of a plain read of memory, of a prompt that of plain products in registers, in turns with it: what a shared machine left to anybody. A share above 1 is of a bound whose looks fell"
    print "into slower moments: such a row is judged in turns, or else void. Over the better peer: the median of the repetitions' ratios, the"
    print "least and the largest of them. Peers ran with the flags that are best for the row. What decides is the figure as measured, without rounding."
    take_notes()
    print "\n![decode and prefill against the bound](" picture ")"
    table("Generation, 1.1B", "^tg-[^8m]|^tg-mxfp4")
    table("Prompts of 512, 1.1B", "^pp-[^8m]|^pp-mxfp4")
    table("Other shapes", "^(tg|pp)-(8b4|moe)")
    print "\n## At a depth\n\n| | leat, tok/s | time over depth 0 and the reading of keys and values | wanted | met |\n| --- | ---: | ---: | ---: | :-: |"
    for (i = 1; i <= n_rows; i++)
        if (order[i] ~ /^depth/)
            printf "| %s, %s | %.1f | %s | %s | %s |\n", label[order[i]], order[i], v[order[i], "tok_s"],
                shown(v[order[i], "growth"], wanted_growth[order[i]], 1), wanted_growth[order[i]],
                verdict(v[order[i], "growth"], wanted_growth[order[i]], 1)
    print "\n## Error\n\nNMSE to exact logits over llama.cpp's, K types (wanted: 0.5 at most): [NUMERICS](../NUMERICS.md)."
    print "\n## Memory and start\n"
    memories()
    if ((getline line < (rows "/start.txt")) > 0) {
        split(line, ns, " ")
        step = ("tg-q4_k_m", "tok_s") in v ? 1000 / v["tg-q4_k_m", "tok_s"] : 0
        printf "\nExec to the first token of a one-token prompt, warm, best of 15: %s ms; wanted at most 80 ms + a step of generation\n(%.1f ms): %s. To the end of the process: %.1f ms.\n",
            shown(ns[1] / 1e6, 80 + step, 1), step, verdict(ns[1] / 1e6, 80 + step, 1), ns[2] / 1e6
    } else print "\nStart: not measured."
    picture_of()
}
