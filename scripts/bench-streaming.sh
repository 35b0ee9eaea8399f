#!/usr/bin/env bash
# bench-streaming.sh BUILD [PATTERN]: models larger than the memory: speed over --ram, from the least that does to all
# of the file in steps of 10 %, against the bound and other engines. Writes docs/bench/streaming-MACHINE.md and .svg.
#
# Rounds go over all rows (names like PATTERN, a grep -E), so rows take turns and what drifts favours nobody. Every run
# is kept under BUILD/bench/streaming as soon as it has ended: a script that was stopped goes on where it was, and
# LEAT_BENCH_ROUNDS=N (3) rounds in all are made up to N; remove the folder to begin anew. A round takes about a quarter
# of an hour, two thirds of it the peers'; after LEAT_BENCH_SECONDS no row is begun any more, and the report is written.
#
# Peers: LEAT_PEER_LLAMA, LEAT_PEER_IK, LEAT_PEER_MOE: command lines with {file}, {threads} and {n_gen} that print tokens
# a second as `leat bench --vs` reads them. They should let the system page the file (mmap, no repacking). {n_gen} is as many
# tokens as leat's row has, or as there is time for in LEAT_PEER_SECONDS (60) a row; the page says how many.
# BigMoeOnEdge (LEAT_PEER_MOE) prints more than one speed, and at random only when it is told to:
#     bmoe-cli -m {file} -p x -n {n_gen} -t {threads} -c 600 --ubatch 64 --moe-stream --force-cache --cache-mb MIB
#         --temp 100 --top-k 0 --top-p 1 --seed 1 | sed -n 's/^generation:.*(\(.*\) tok.s)/\1 tok\/s/p'
# What is to be said of a machine and its figures is in docs/bench/streaming-MACHINE.notes.md, by hand, and put into the
# page each time.
# LEAT_BENCH_DIR (BUILD/bench/models) gets 8 GB of models, LEAT_TRACES (../shared/traces) has recorded routing.
#
# Each run starts with the file out of the page cache and, where control groups may be made, in one whose memory is
# limited to --ram, the page cache included. Memory of that size is touched and freed before: on a virtual machine the
# first touch may cost more than reading. leat's own is touched to its end before anything is counted.
set -u
export LC_ALL=C # numbers have points
B=$1 pattern=${2:-.}
leat=$B/leat dir=${LEAT_BENCH_DIR:-$B/bench/models} rows=$B/bench/streaming traces=${LEAT_TRACES:-../shared/traces}
rounds=${LEAT_BENCH_ROUNDS:-3} threads=$(nproc) qwen=$traces/qwen3-30b-a3b.csv
peer_seconds=${LEAT_PEER_SECONDS:-60}
mkdir -p "$dir" "$rows" docs/bench

# ---- a process within limits ---------------------------------------------------------------------------------------

group='' limit='' peak=''
if [ -w /sys/fs/cgroup/memory ] 2> /dev/null; then
    group=/sys/fs/cgroup/memory/leat-bench-$$ limit=memory.limit_in_bytes peak=memory.max_usage_in_bytes
elif [ -w /sys/fs/cgroup/cgroup.subtree_control ]; then
    grep -qw memory /sys/fs/cgroup/cgroup.subtree_control || echo +memory > /sys/fs/cgroup/cgroup.subtree_control
    grep -qw memory /sys/fs/cgroup/cgroup.subtree_control &&
        group=/sys/fs/cgroup/leat-bench-$$ limit=memory.max peak=memory.peak
fi 2> /dev/null
if [ -n "$group" ] && ! mkdir "$group" 2> /dev/null; then group=''; fi
trap '[ -n "$group" ] && rmdir "$group" "$group"/* 2> /dev/null; rm -f "$dir"/touch.$$' EXIT

uncache() { sync "$1" && dd if="$1" iflag=nocache count=0 status=none; }
touch_memory() { # bytes, at most a third of what is free
    local mib=$(($1 >> 20)) third=$(($(awk '/^MemAvailable/ { print $2 }' /proc/meminfo) / 3072))
    dd if=/dev/zero of=/dev/shm/leat-touch.$$ bs=1M count=$((mib < third ? mib : third)) status=none
    rm -f /dev/shm/leat-touch.$$
}

# Runs a command within so many bytes, cold; prints what it prints, how long it took and, of its group, the most memory and
# how many processes were killed for it. Sets no limit where no group can be made.
capped() { # bytes, file, command...
    local bytes=$1 file=$2 status began
    shift 2
    uncache "$file"
    touch_memory "$bytes"
    if [ -z "$group" ]; then
        began=$(date +%s%3N)
        "$@"
        status=$?
        echo "ms: $(($(date +%s%3N) - began))"
        return $status
    fi
    mkdir -p "$group/run" && echo "$bytes" > "$group/run/$limit"
    [ -e "$group/run/memory.swap.max" ] && echo 0 > "$group/run/memory.swap.max"
    began=$(date +%s%3N)
    bash -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$group/run" "$@"
    status=$?
    echo "ms: $(($(date +%s%3N) - began))"
    echo "peak: $(cat "$group/run/$peak")"
    cat "$group/run/memory.events" "$group/run/memory.oom_control" 2> /dev/null | sed -n 's/^oom_kill /killed: /p'
    for _ in 1 2 3 4 5; do rmdir "$group/run" 2> /dev/null && break; done
    return $status
}

# The last lines of what it printed itself.
last_words() { grep -vE '^$|^(ms|peak|killed): ' | tail -n "$1"; }

# ---- models --------------------------------------------------------------------------------------------------------

model() { # name: its file, made if need be
    case $1 in
    dense) set -- 1.1b q8_0 ;;
    moe) set -- moe64x8 q4_k ;;
    qwen3) set -- 48x128 q4_k ;;
    esac
    [ -s "$dir/$1-$2.gguf" ] || "$B/bench-model" "$1" "$2" "$dir/$1-$2.gguf" || exit 1
    echo "$dir/$1-$2.gguf"
}
routing() { [ "$1" = qwen3 ] && echo "--routing $qwen"; }
# Tokens of a run: 200 where that takes seconds, fewer where a token reads much.
tokens() { # model, percent
    case $1 in
    dense) echo $(($2 >= 100 ? 200 : $2 >= 50 ? 40 : 20)) ;;
    *) echo $(($2 >= 20 ? 200 : 100)) ;;
    esac
}

# ---- rows ----------------------------------------------------------------------------------------------------------

# The least memory, in MiB, that the model says it wants.
floor_of() { # model, file
    local said=$rows/$1.floor
    [ -s "$said" ] || "$leat" bench "$2" -p 0 -n 200 -r 1 --ram 16M 2>&1 |
        awk '/ MiB would do/ { for (i = 2; i < NF; i++) if ($(i + 1) == "would") print $(i - 1) + 8 }' > "$said"
    cat "$said"
}

numbers() { # of the stats lines: words for the row
    awk '
        /^stats: generation/ && $3 > 0 {
            print "tok_s=" $3
            for (i = 4; i < NF; i++) {
                if ($i == "memory" && $(i - 1) == "in") hit = $(i + 1)
                if ($i == "MB" && !mb) { mb = $(i - 1); print "mb=" mb }
                if ($i == "while") print "gb_s=" $(i - 2)
                if ($i ~ /^probe/) print "probe=" $(i + 1) + 0
                if ($i == "stalled") print "stalled=" $(i + 1)
                if ($i == "major") print "faults=" $(i - 1)
                if ($i == "MB" && $(i + 1) == "for") print "held_mb=" $(i - 1)
            }
            if (hit) print "hits=" hit
        }
        /^stats: prompt/ { print "prompt_s=" $4; print "prompt_mb=" $7; print "prompt_gb_s=" $9; print "probe=" $15 + 0 }
        / streaming: / { for (i = 1; i < NF; i++) if ($i == "of" && $(i + 2) ~ /^experts/) print "slots=" $(i - 1) }
        /^peak:/ { print "peak=" $2 }'
}

field() { # its name: of the last row of what `leat bench -o csv` prints, counted from the end: names may have commas
    awk -F, -v name="$1" '/^cpu,isa,/ { for (i = 1; i <= NF; i++) if ($i == name) back = NF - i; rows = NR }
                          rows && NR > rows && NF > back { value = $(NF - back) }
                          END { if (value) print value }'
}

keep() { # row, text: one more run of it
    [ -n "$2" ] && echo "$2" | tr '\n' ' ' >> "$rows/$1.runs" && echo >> "$rows/$1.runs"
}
done_() { # row: how often it was measured
    [ -s "$rows/$1.runs" ] && grep -c . "$rows/$1.runs" || echo 0
}

# generation: with the bytes that the policy needs for the routing that occurred
generate() { # row, model, file, percent, bytes
    local n out words record=$rows/routing.csv expert slots
    n=$(tokens "$2" "$4")
    rm -f "$record"
    # shellcheck disable=SC2046
    if [ "$4" = 100 ]; then
        cat "$3" > /dev/null
        out=$("$leat" bench "$3" -p 0 -n "$n" -r 1 $(routing "$2") -o csv)
        words=$(echo "$out" | field tok_s | sed 's/^/tok_s=/')
    else
        out=$(capped "$5" "$3" "$leat" bench "$3" -p 0 -n "$n" -r 1 --ram "$5" $(routing "$2") \
            $([ "$2" = dense ] || echo "--record $record") 2>&1)
        words=$(echo "$out" | numbers)
        slots=$(echo "$words" | sed -n 's/^slots=//p')
        # Of each size of experts the engine has a like share of the slots.
        expert=$(awk -F= '/^# layer=/ { n++; sum += $3 } END { if (n) printf "%.0f", sum / n }' "$record" 2> /dev/null)
        [ -n "$slots" ] && [ -n "$expert" ] && words+=$'\n'$("$leat" cache-sim "$record" --prompt --policy ours \
            --ram $((slots * expert)) | awk -F'|' 'END { print "sim_mb=" $5 + 0 }')
    fi
    echo "$words" | grep -q tok_s || { echo "$1: $(echo "$out" | last_words 2)" >&2; return; }
    keep "$1" "$words"$'\n'"tokens=$n"$'\n'"ram=$5"
}

# A peer's run, cold: words for its row. Without a speed there is a row only where the system killed it for memory.
peer_run() { # command, file, tokens, bytes
    local line=${1//\{file\}/$2} out status
    line=${line//\{threads\}/$threads}
    line=${line//\{n_gen\}/$3}
    out=$(capped "$4" "$2" timeout $((peer_seconds * 2)) bash -c "$line" 2>&1)
    status=$?
    echo "$out" | awk -v tokens="$3" -v killed=$((status == 137)) '
        /^(ms|peak): / { words = words "\n" $1 $2 }
        /^killed: / { killed += $2 }
        /"avg_ts"/ { gsub(/[^0-9.]/, "", $2); speed = $2 }
        / tok(ens)?\/s/ { for (i = 2; i <= NF; i++) if ($i ~ /^tok(ens)?\/s/) { speed = $(i - 1); for (j = 2; j < i; j++) if ($j == "+-") speed = $(j - 1) } }
        END {
            if (!speed && !killed) exit 1
            gsub(/:/, "=", words)
            print "tok_s=" speed + 0 "\ntokens=" tokens words
        }' && return
    echo "$line: no speed, status $status: $(echo "$out" | last_words 3)" >&2
    return 1
}

# As many tokens as leat's row has, or as there is time for: from few on, each run says how many more that is, and the last
# one counts. Later rounds begin with as many as the one before had.
peer() { # row, command, file, tokens, bytes
    [ -n "$2" ] || return
    local left=$((peer_seconds * 1000)) n words kept=''
    n=$(sed -n '$s/.*tokens=\([0-9]*\).*/\1/p' "$rows/$1.runs" 2> /dev/null)
    n=$((${n:-2} < $4 ? ${n:-2} : $4))
    while [ "$n" -gt 0 ] && words=$(peer_run "$2" "$3" "$n" "$5"); do
        kept=$words
        # What a run takes besides its tokens is loading and warming up. Half as many again are worth another run.
        read -r left n < <(echo "$words" | awk -F= -v left=$left -v most="$4" '
            { is[$1] = $2 }
            END {
                left -= is["ms"]
                besides = is["tok_s"] ? is["ms"] - 1000 * is["tokens"] / is["tok_s"] : 0
                n = int((left - (besides > 0 ? besides : 0)) / 1000 * is["tok_s"])
                if (n > most) n = most
                print left, (n * 2 >= is["tokens"] * 3 ? n : 0)
            }')
    done
    keep "$1" "${kept:+$kept$'\n'ram=$5}"
}

prompt() { # row, file, tokens, bytes
    local out
    out=$(capped "$4" "$2" "$leat" bench "$2" -p "$3" -n 0 -r 1 --ram "$4" 2>&1 | numbers)
    [[ $out == *prompt_s* ]] && keep "$1" "$out"
}

# with guesses, and then without in the same place: the disk's speed differs from minute to minute
accepted() { # row, file, bytes
    local out plain
    out=$(capped "$3" "$2" "$leat" bench "$2" -p 0 -n 200 -r 1 --ram "$3" --accept 0.7 2>&1 | numbers)
    plain=$(capped "$3" "$2" "$leat" bench "$2" -p 0 -n 40 -r 1 --ram "$3" 2>&1 | numbers | sed -n 's/^tok_s=/plain=/p')
    [ -n "$out" ] && [ -n "$plain" ] && keep "$1" "$out"$'\n'"$plain"
}

# A peer's row: it has a command now, or runs of it are kept.
there() { [ -n "$2" ] || [ -s "$rows/$1.runs" ]; }
# name, model, percent of the file (0: the least), kind
list() {
    local m p
    for m in dense moe qwen3; do
        [ $m = qwen3 ] && [ ! -s "$qwen" ] && continue
        for p in 100 90 80 75 70 60 50 40 30 25 20 10 0; do
            [ $m = qwen3 ] && case $p in 25 | 75) continue ;; esac
            echo "$m-$p $m $p leat"
        done
        [ $m = qwen3 ] && continue
        for p in 25 50 75; do
            there "$m-$p-llama" "${LEAT_PEER_LLAMA:-}" && echo "$m-$p-llama $m $p llama"
            there "$m-$p-ik" "${LEAT_PEER_IK:-}" && echo "$m-$p-ik $m $p ik"
            [ $m = moe ] && there "$m-$p-moe" "${LEAT_PEER_MOE:-}" && echo "$m-$p-moe $m $p moe"
        done
        echo "$m-first-50 $m 50 first"
        echo "$m-prompt $m 50 prompt"
        echo "$m-prompt-100 $m 100 prompt-all"
    done
    echo "dense-accept dense 50 accept"
}

run_row() { # name, model, percent, kind
    local file bytes least
    file=$(model "$2") || return
    bytes=$(($(stat -c %s "$file") / 100 * $3))
    least=$(($(floor_of "$2" "$file") << 20))
    [ "$3" = 0 ] && bytes=$least
    [ $bytes -lt $least ] && return
    [ "$3" = 100 ] && bytes=$((bytes + (600 << 20)))
    case $4 in
    leat) generate "$1" "$2" "$file" "$3" $bytes ;;
    llama) peer "$1" "${LEAT_PEER_LLAMA:-}" "$file" "$(tokens "$2" "$3")" $bytes ;;
    ik) peer "$1" "${LEAT_PEER_IK:-}" "$file" "$(tokens "$2" "$3")" $bytes ;;
    moe) peer "$1" "${LEAT_PEER_MOE:-}" "$file" "$(tokens "$2" "$3")" $bytes ;;
    first) prompt "$1" "$file" 8 $bytes ;;
    prompt) prompt "$1" "$file" 512 $bytes ;;
    prompt-all)
        cat "$file" > /dev/null
        keep "$1" "$("$leat" bench "$file" -p 512 -n 0 -r 1 -o csv 2> /dev/null | field tok_s | sed 's/^/tok_s=/')" ;;
    accept) accepted "$1" "$file" $bytes ;;
    esac
}

list > "$rows/list.txt"
for round in $(seq "$rounds"); do
    while read -r name model percent kind; do
        [[ $name =~ $pattern ]] || continue
        [ "${LEAT_BENCH_SECONDS:-999999}" -gt $SECONDS ] || break
        case $kind in llama | ik | moe) [ "$round" -gt "${LEAT_PEER_ROUNDS:-$rounds}" ] && continue ;; esac
        [ "$(done_ "$name")" -ge "$round" ] && continue
        echo "$round/$rounds $name" >&2
        run_row "$name" "$model" "$percent" "$kind" < /dev/null
    done < "$rows/list.txt"
done

# ---- the report ----------------------------------------------------------------------------------------------------
for name in dense moe qwen3; do
    file=$(model $name) || continue
    [ -s "$rows/$name.scan" ] || "$leat" bench "$file" -p 0 -n 1 -r 1 -o csv 2> /dev/null | field token_bytes > "$rows/$name.scan"
    echo "$name $(stat -c %s "$file") $(cat "$rows/$name.floor" "$rows/$name.scan" 2> /dev/null | tr '\n' ' ')"
done > "$rows/models.txt"
if [ -s "$qwen" ]; then "$leat" cache-sim "$qwen" > "$rows/belady.txt"; else : > "$rows/belady.txt"; fi
{ read -r machine && read -r name; } < <(scripts/machine.sh)
awk -f scripts/bench-streaming-report.awk -v machine="$machine" -v rows="$rows" \
    -v svg="docs/bench/streaming-$name.svg" -v picture="streaming-$name.svg" \
    -v notes="docs/bench/streaming-$name.notes.md" -v threads="$threads" -v peer_seconds="$peer_seconds" \
    -v commit="$("$leat" --version)" -v grouped="$group" "$rows/list.txt" > "docs/bench/streaming-$name.md"
echo "docs/bench/streaming-$name.md"
