#!/usr/bin/env bash
# valgrind.sh LEAT MODELS WORK: no leak and no bad access in whole runs of the program, also in those that end with an error.
set -u
leat=$1 models=$2 work=$3
mkdir -p "$work"
passed=0 failed=0
check() {
    local name=$1 status=$2
    shift 2
    valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all --track-fds=no \
        "$leat" "$@" > "$work/out" 2> "$work/err"
    local got=$?
    if [ $got = "$status" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name: exit status $got, wanted $status"
        head -n 40 "$work/err"
    fi
}
echo "3 4 5 6 7 8" > "$work/ids"
echo "3 4 99999" > "$work/bad-ids"
seq 200 > "$work/text"
head -c 3000 "$models/demo.gguf" > "$work/cut.gguf"
check run 0 run -m "$models/demo.gguf" -p "Once upon a time" -n 8
check run-one-thread 0 run -m "$models/demo.gguf" -p "Once upon a time" -n 8 -t 1
check run-resident 0 run -m "$models/bpe.gguf" -p "Once upon a time" -n 4 --no-mmap
check run-parts 0 run -m "$models/parts-00001-of-00003.gguf" -p "Once upon a time" -n 4
check run-full 0 run -m "$models/demo.gguf" -p "Once" -c 8 --ignore-eos
check run-missing 1 run -m "$work/none.gguf" -p x
check run-cut 1 run -m "$work/cut.gguf" -p x
check eval 0 eval -m "$models/ids.gguf" --ids "$work/ids" --logits "$work/logits" -b 2
check eval-bad 1 eval -m "$models/ids.gguf" --ids "$work/bad-ids" --logits "$work/logits"
check perplexity 0 perplexity -m "$models/demo.gguf" -f "$work/text" -c 32 --chunks 2
echo "$passed passed, $failed failed"
[ $failed = 0 ]
