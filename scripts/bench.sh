#!/usr/bin/env bash
# bench.sh BUILD [PATTERN]: measures the rows below whose name is like PATTERN (a grep -E; none: all) and writes
# docs/bench/MACHINE.md and .svg (machine.sh says its name) from all rows that were measured since BUILD/bench was made.
# What is measured is kept there row by row, so that it can be done in pieces; remove the folder to begin anew.
#
# Peers: LEAT_PEER_LLAMA and LEAT_PEER_IK, command lines as `leat bench --vs` takes them; where they are not set, or a
# peer cannot read a type, leat stands alone. Models are written by BUILD/bench-model and `leat quantize` into
# LEAT_BENCH_DIR (BUILD/bench/models) and removed after use but for the F16 file: up to 5 GB.
#
# What is to be said of a machine and its figures is in docs/bench/MACHINE.notes.md, by hand, and put into the page each
# time.
set -u
B=$1 pattern=${2:-.}
leat=$B/leat dir=${LEAT_BENCH_DIR:-$B/bench/models} rows=$B/bench/rows
mkdir -p "$dir" "$rows" docs/bench

# name, shape, type, options of leat bench, wanted share, wanted ratio to the better peer, wanted growth
list() {
    for type in q4_k_m q5_k_m q6_k q8_0 q4_0 iq4_xs mxfp4 f16; do
        ratio=-
        [ $type = q4_k_m ] && ratio=1.5
        echo "tg-$type 1.1b $type -p_0_-n_64 0.90 $ratio -"
    done
    for type in q2_k q3_k iq3_s iq3_xxs iq2_s iq2_xs iq2_xxs iq1_m iq1_s tq2_0 tq1_0; do
        echo "tg-$type 1.1b $type -p_0_-n_64 0.60 1.2 -"
    done
    # One type at least of each prompt kernel, and each kind of codebook.
    for type in q4_k_m q5_k q6_k q3_k q2_k q8_0 q4_0 iq4_xs mxfp4 iq3_s iq3_xxs iq2_xs iq1_s tq2_0 f16 bf16; do
        ratio=-
        [ $type = q4_k_m ] && ratio=2.4
        echo "pp-$type 1.1b $type -p_512_-n_0 0.60 $ratio -"
    done
    echo "tg-8b4-q4_k 8b4 q4_k -p_0_-n_64 0.90 1.5 -"
    echo "pp-8b4-q4_k 8b4 q4_k -p_512_-n_0 0.60 2.4 -"
    echo "tg-moe-q4_k moe64x8 q4_k -p_0_-n_64 0.90 1.5 -"
    echo "pp-moe-q4_k moe64x8 q4_k -p_512_-n_0 0.60 2 -"
    echo "depth-4096 1.1b q4_k_m -p_0_-n_32_-d_4096 - - 1.15"
    echo "depth-16384 1.1b q4_k_m -p_0_-n_32_-d_16384 - - 1.15"
}

f16() { # the path of a shape's F16 file
    [ -s "$dir/$1-f16.gguf" ] || "$B/bench-model" "$1" f16 "$dir/$1-f16.gguf" || exit 1
    echo "$dir/$1-f16.gguf"
}

model() { # the path of a shape's file of a type
    local file=$dir/$1-$2.gguf
    case $2 in
    f16) file=$(f16 "$1") ;;
    *_m) [ -s "$file" ] || case $2 in
        iq*) "$B/bench-model" "$1" "$2" "$file" ;;
        *) "$leat" quantize -q "$(f16 "$1")" "$file" "$2" ;;
        esac >&2 ;;
    *) [ -s "$file" ] || "$B/bench-model" "$1" "$2" "$file" >&2 ;;
    esac
    echo "$file"
}

# What the system keeps of a file goes, so that leat is the first to read it from the disk: in large pages, where the
# file system has them, for everyone after it.
uncache() { sync "$1" && dd if="$1" iflag=nocache count=0 2> /dev/null; }

# A row, with both peers if they can, else with the one that can, else alone.
measure() { # name, file, options
    local out=$rows/$1.csv llama=() ik=() reps=${LEAT_BENCH_REPS:-3}
    [ -n "${LEAT_PEER_LLAMA:-}" ] && llama=(--vs "llama.cpp: $LEAT_PEER_LLAMA")
    [ -n "${LEAT_PEER_IK:-}" ] && ik=(--vs "ik_llama.cpp: $LEAT_PEER_IK")
    case $1 in depth-*) llama=() ik=() ;; esac # the growth is leat's own
    uncache "$2"
    "$leat" bench "$2" -p 512 -n 0 -r 1 > /dev/null 2>&1 # all of it: a few tokens leave experts on the disk
    for try in both llama ik none; do
        case $try in
        both) set -- "$1" "$2" "$3" "${llama[@]}" "${ik[@]}" ;;
        llama) set -- "$1" "$2" "$3" "${llama[@]}" ;;
        ik) set -- "$1" "$2" "$3" "${ik[@]}" ;;
        none) set -- "$1" "$2" "$3" ;;
        esac
        # shellcheck disable=SC2086
        "$leat" bench "$2" $3 -r "$reps" -o csv --vs-limit 120 "${@:4}" > "$out.new" 2> "$out.err" &&
            mv "$out.new" "$out" && break
        tail -n 1 "$out.err" >&2
    done
    rm -f "$out.new"
}

# Peak memory of a run that fills its context over what it must have; the same with the weights read, not mapped.
measure_memory() { # type, file
    local how log pid peak anon kv scratch name value row=$1,$(wc -c < "$2")
    seq 100 338 > "$rows/ids.txt" # with 16 generated 255 of the 256
    for how in --mmap --no-mmap; do
        log=$rows/rss-$1$how.err peak=0 anon=0
        "$leat" run -m "$2" --ids "$rows/ids.txt" -n 16 -c 256 --ignore-eos --temp 0 -v "$how" > /dev/null 2> "$log" &
        pid=$!
        while kill -0 $pid 2> /dev/null; do
            while read -r name value _; do
                case $name in
                VmHWM:) [ "$value" -gt $peak ] && peak=$value ;;
                RssAnon:) [ "$value" -gt $anon ] && anon=$value ;;
                esac
            done 2> /dev/null < /proc/$pid/status
            sleep 0.02
        done
        wait $pid || return
        kv=$(peak_of cache "$log") scratch=$(peak_of scratch "$log")
        row=$row,$((peak * 1024)),$((anon * 1024)),${kv:-0},${scratch:-0}
    done
    echo "$row" > "$rows/rss-$1.txt"
}
peak_of() { # what, log: bytes that `leat run -v` says it held
    awk -v what="$1" '
        function unit(s) { return s ~ /^GiB/ ? 1073741824 : s ~ /^MiB/ ? 1048576 : s ~ /^KiB/ ? 1024 : 1 }
        /memory at its peak/ { for (i = 1; i < NF - 1; i++) if ($i == what) printf "%.0f\n", $(i + 1) * unit($(i + 2)) }' "$2"
}
# From before exec to the first token, which is written right before the summary begins, and to the end of the process:
# the best of 15 in nanoseconds. The file is read once before.
measure_start() { # file
    rm -f "$rows/start.txt"
    local n begin first end best=999999999 best_end=999999999 line last
    for n in {0..15}; do
        [ "$n" = 0 ] && uncache "$1"
        begin=${EPOCHREALTIME/[.,]/} first='' last=''
        while read -r line; do
            last=$line
            [[ $line = *"prompt "*" tok/s"* ]] && first=${EPOCHREALTIME/[.,]/}
        done < <(exec "$leat" run -m "$1" -p a -n 1 --temp 0 2>&1)
        [ -n "$first" ] || { echo "start: leat run gave no first token: $last" >&2; return 1; }
        [ "$n" = 0 ] && continue
        end=$((${EPOCHREALTIME/[.,]/} - begin)) first=$((first - begin))
        [ "$first" -lt "$best" ] && best=$first
        [ "$end" -lt "$best_end" ] && best_end=$end
    done
    echo "${best}000 ${best_end}000" > "$rows/start.txt"
}

list | grep -E -- "$pattern" | while read -r name shape type options _; do
    [ -s "$rows/$name.csv" ] && continue
    echo "$name" >&2
    file=$(model "$shape" "$type")
    measure "$name" "$file" "${options//_/ }"
    case $name in tg-q4_k_m | tg-q8_0 | tg-f16 | tg-iq2_xxs) measure_memory "$type" "$file" ;; esac
    [ "$name" = tg-q4_k_m ] && measure_start "$file"
    next=$(list | grep -E -- "$pattern" | grep -A1 "^$name " | tail -n 1)
    case $type in f16) ;; *) [[ $next = *" $shape $type "* && $next != "$name "* ]] || [ -n "${LEAT_BENCH_KEEP:-}" ] || rm -f "$file" ;; esac
done

# ---- the report ---------------------------------------------------------------------------------------------------
{ read -r machine && read -r name; } < <(scripts/machine.sh)
list > "$rows/list.txt"
awk -f scripts/bench-report.awk -v machine="$machine" -v rows="$rows" -v svg="docs/bench/$name.svg" -v picture="$name.svg" \
    -v load="$(cut -d' ' -f1 /proc/loadavg)" -v notes="docs/bench/$name.notes.md" "$rows/list.txt" > "docs/bench/$name.md"
echo "docs/bench/$name.md"
