#!/usr/bin/env bash
# plans.sh LEAT HUGE FOLDER [write]: the tables in docs/STREAMING.md are what `leat plan` prints: each block that begins with
# `$ leat plan` is run on the header of a model (a sparse file) and compared, or written anew. Numbers may differ by 6 %, and
# what is not for weights by 25 %: how much memory activations take depends on the processor.
set -u
leat=$(realpath "$1") huge=$(realpath "$2") work=$3 write=${4:-} docs=$(realpath docs/STREAMING.md)
rm -rf "$work"
mkdir -p "$work"
out=$(realpath "$work")/out err=$(realpath "$work")/err
. "$(dirname "$0")/check.sh"
if ! "$huge" "$work" 2> "$err"; then
    echo "skip plans: $(cat "$err")"
    echo "0 passed, 0 failed"
    exit 0
fi
awk -v work="$work" '/^    \$ leat plan / { n++; inside = 1 } /^[^ ]/ { inside = 0 }
    inside { sub(/^    /, ""); sub(/^\$ leat /, ""); print > (work "/block-" n) }' "$docs"
cd "$work" || exit 1
for block in block-*; do
    read -ra command < "$block"
    "$leat" "${command[@]}" > "$out" 2> "$err"
    { echo "    \$ leat ${command[*]}"; sed 's/^/    /; s/ *$//' "$out"; } > "new-$block"
    tail -n +2 "$block" | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}' > wanted
    sed -e :a -e '/^\n*$/{$d;N;ba' -e '}' "$out" > got
    if awk '
        function number(s) { gsub(/[:,]$/, "", s); return s ~ /^[0-9.]+$/ ? s : "" }
        NR == FNR { line[FNR] = $0; n = FNR; next }
        { k = split(line[FNR], a, " ")
          if (k != NF) bad = 1
          for (i = 1; i <= NF; i++) {
              if (a[i] == $i) continue
              x = number(a[i]); y = number($i)
              if (x == "" || y == "" || (x - y) ^ 2 > ((a[1] == "other" ? 0.25 : 0.06) * x + 0.11) ^ 2) bad = 1
          }
          if (bad) { print FILENAME ":" FNR ": " $0 " (docs: " line[FNR] ")"; exit 1 } }
        END { if (n != FNR) { print n " lines wanted, " FNR " are there"; exit 1 } }' wanted got > difference; then pass
    else fail "${command[*]}" "$(head -1 difference)"; fi
done
if [ "$write" = write ]; then
    awk '/^    \$ leat plan / { file = "new-block-" ++n; while ((getline line < file) > 0) print line; inside = 1; next }
        inside && (/^    / || /^$/) { next } { if (inside) print ""; inside = 0; print }' "$docs" | cat -s > docs.new
    cp docs.new "$docs"
fi
[ "$passed" -ge 3 ] || fail plans "docs/STREAMING.md has $passed plans that are right, wanted 3"
rm -f ./*.gguf
echo "$passed passed, $failed failed"
[ $failed = 0 ]
