#!/usr/bin/env bash
# group.sh LEAT MODEL FOLDER: a streamed model in a control group whose limit falls and rises while it generates, first
# the group's own, then its parent's: memory is given back and taken again, and the text stays the same. What must come
# to pass is waited for. Skipped where control groups are not ours to make.
set -u
leat=$(realpath "$1") model=$(realpath "$2") work=$3
rm -rf "$work"
mkdir -p "$work"
out=$(realpath "$work")/out err=$(realpath "$work")/err
. "$(dirname "$0")/check.sh"
: > "$err"

group='' pid=''
finish() {
    [ -n "$pid" ] && kill "$pid" 2> /dev/null && wait "$pid" 2> /dev/null
    [ -n "$group" ] && rmdir "$group/run" "$group" 2> /dev/null
}
trap finish EXIT
skip() {
    echo "skip group: no control group with limits of memory can be made here: $1"
    echo "0 passed, 0 failed"
    exit 0
}
if [ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ]; then
    group=/sys/fs/cgroup/memory/leat-test-$$ soft=memory.soft_limit_in_bytes hard=memory.limit_in_bytes none=-1
    anonymous='^total_rss '
elif grep -qw memory /sys/fs/cgroup/cgroup.controllers 2> /dev/null; then
    group=/sys/fs/cgroup/leat-test-$$ soft=memory.high hard=memory.max none=max anonymous='^anon '
    echo +memory > /sys/fs/cgroup/cgroup.subtree_control 2> /dev/null
else
    skip "no memory controller"
fi
mkdir "$group" 2> /dev/null || { group=''; skip "not allowed"; }
[ $hard = memory.max ] && echo +memory > "$group/cgroup.subtree_control"
mkdir "$group/run"
[ -w "$group/run/$hard" ] || skip "its parent does not share the controller"
[ -e "$group/memory.swap.max" ] && echo 0 > "$group/memory.swap.max"

held() { awk -v key="$anonymous" '$0 ~ key { print int($2 / 1048576) }' "$group/run/memory.stat"; }
words() { wc -w < "$work/streamed"; }
# Until a comparison of what is held, or of how many ids there are, holds. The process runs a third of the time only, so
# that its text lasts for as long as the system remembers that memory was short.
wait_for() { # what, command, -lt or -gt, number
    local i now=0
    for ((i = 0; i < 1200; i++)); do
        kill -0 "$pid" 2> /dev/null || { fail "$1" "the process has ended; $2 was $now"; return 1; }
        now=$($2)
        [ "${now:-0}" $3 "$4" ] && { pass; return 0; }
        sleep 0.05
        kill -STOP "$pid"
        sleep 0.1
        kill -CONT "$pid"
    done
    fail "$1" "$2 is still $now MiB or ids, wanted $3 $4"
    return 1
}

printf '1 2 3 4 5 6 7 8' > "$work/ids"
run=("$leat" run "$model" --ids "$(realpath "$work")/ids" --temp 0 -c 10000 -ctk q8_0 -ctv q8_0 -t 2 --ignore-eos --no-usage)
bash -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$group/run" "${run[@]}" -n 9900 --ram 230M > "$work/streamed" 2> "$work/said" &
pid=$!
scenario() { # whose limit
    local where=$1 name=$2 ids
    wait_for "$name-full" held -gt 150 || return
    echo $((130 << 20)) > "$where/$soft"
    wait_for "$name-falls" held -lt 130 || return
    # Now the limit that ends a process: the kernel takes it only if all that is held fits.
    if echo $((130 << 20)) > "$where/$hard"; then pass; else fail "$name-hard" "the hard limit was refused"; fi
    ids=$(words)
    wait_for "$name-goes-on" words -gt $((ids + 20)) || return
    echo $none > "$where/$hard"
    if [ $none = -1 ]; then echo $none > "$where/$soft"; else echo max > "$where/$soft"; fi
    wait_for "$name-rises" held -gt 150
}
scenario "$group/run" own
[ $failed = 0 ] && scenario "$group" parent
kill "$pid" 2> /dev/null
wait "$pid" 2> /dev/null
pid=''
check streams 0 "streaming: " "" grep streaming: "$work/said"
tr ' ' '\n' < "$work/streamed" | head -n -1 > "$work/ids-streamed" # the last one may be cut off
n=$(wc -l < "$work/ids-streamed")
# --ram is what the group may hold: a draft as large as the model is within it, and so is the bench's own probe.
within() { # MiB, command
    echo $(($1 << 20)) > "$group/run/$hard"
    bash -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$group/run" "${@:2}" --ram "$1M"
}
cp "$model" "$work/draft.gguf"
check draft 0 '^[0-9 ]+$' 'streaming: ' within 400 "${run[@]}" -n 24 --draft "$work/draft.gguf"
head -n 24 "$work/ids-streamed" > "$work/ids-first"
tr ' ' '\n' < "$out" > "$work/ids-draft"
same draft-text "$work/ids-first" "$work/ids-draft"
check bench 0 'too little memory to measure reads' 'streaming: ' within 24 "$leat" bench "$model" -p 0 -n 8 -r 1 -t 2
"${run[@]}" -n "$n" -q 2> "$err" | tr ' ' '\n' | head -n "$n" > "$work/ids-mapped"
same text "$work/ids-mapped" "$work/ids-streamed"
echo "$n tokens"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
