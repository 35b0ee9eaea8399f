#!/usr/bin/env bash
# demo.sh LEAT MODEL: what `make demo` shows after the build: the sample model answers, then what to try next.
set -eu
leat=$1 model=$2
ask() {
    printf '\n$ %s run -m %s -p "%s"\n' "$leat" "$model" "$1"
    "$leat" run -m "$model" -p "$1" --temp 0 2> "$log" || { cat "$log" >&2; exit 1; }
    printf '\n'
    tail -n 1 "$log"
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

"$leat" --version
ask "What is 2+2?"
ask "What is leat?"

# What fits: the largest of these (its GiB in Q4_K_M, with context) within four fifths of the free memory.
free=$(awk '$1 == "MemAvailable:" { printf "%.1f", $2 / 1048576 }' /proc/meminfo)
fits=$(awk -v free="$free" '$1 <= 0.8 * free { best = $0 } END { print best }' <<'SIZES'
0.8 Qwen3 0.6B
1.6 Qwen3 1.7B
3.1 Qwen3 4B
5.8 Qwen3 8B
10 Qwen3 14B
20 Qwen3 30B-A3B
45 Llama 3.3 70B
SIZES
)
echo
echo "With a real model: Hugging Face has thousands as GGUF files; take a Q4_K_M of a family that the README lists."
if [ -n "$fits" ]; then
    echo "Of this machine $free GiB are free: ${fits#* } (about ${fits%% *} GiB as it runs) fits, and what is smaller."
else
    echo "Of this machine only $free GiB are free: a file must be smaller, also by the context that you give it (-c)."
fi
echo "    $leat inspect MODEL.gguf && $leat run -m MODEL.gguf -p \"Once upon a time\""
