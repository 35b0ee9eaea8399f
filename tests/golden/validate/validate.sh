#!/usr/bin/env bash
# validate.sh LEAT MODELS FAKE WORK: `leat validate` against a libllama that is none (fake_llama.c, in the folder FAKE).
# The real one is no part of the tree; with it: leat validate FILE --lib DIR. Ends with `N passed, N failed`.
set -u
export LC_ALL=C
leat=$1 models=$2 fake=$3 work=$4
mkdir -p "$work/empty"
passed=0 failed=0
# check NAME STATUS PATTERN COMMAND...: the pattern is looked for in all that the command writes.
check() {
    local name=$1 status=$2 pattern=$3 got
    shift 3
    "$@" > "$work/out" 2>&1
    got=$?
    if [ $got = "$status" ] && grep -aqE -- "$pattern" "$work/out"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name: exit status $got, wanted $status and /$pattern/:"
        sed 's/^/     /' "$work/out" | head -5
    fi
}
LEAT_FAKE_VOCAB=$("$leat" inspect "$models/ids.gguf" --json | sed -n 's/.*"n_vocab": *\([0-9]*\).*/\1/p' | head -1)
export LEAT_FAKE_VOCAB
validate=("$leat" validate "$models/ids.gguf" --lib "$fake" -n 20 -t 1)
faulty() { LEAT_FAKE=$1 "${validate[@]}"; }

check "another program's logits differ" 1 'they DIFFER' "${validate[@]}"
check 'the distance is told' 1 'prompt +NMSE .*, top-1 [0-9]+ of 20 ' "${validate[@]}"
check 'the version is told' 1 'against llama.cpp 0.0.0-fake' "${validate[@]}"
check 'a folder without it' 1 'no libllama.so' "$leat" validate "$models/ids.gguf" --lib "$work/empty"
check 'how to get it' 1 'npm install @node-llama-cpp' "$leat" validate "$models/ids.gguf" --lib "$work/empty"
check 'other options' 1 'begin with 0 2048 512 1, not with 512 2048 512 1' faulty layout
check 'other batches' 1 'laid out differently' faulty batch
check 'a file that it does not know' 1 'cannot load .*: there is no such architecture' faulty load
check 'no context' 1 'makes no context of 20 tokens' faulty context
check 'another vocabulary' 1 "libllama counts $((LEAT_FAKE_VOCAB + 1)) tokens .*, leat $LEAT_FAKE_VOCAB" faulty vocab
check 'a crash' 1 'libllama crashed on this file' faulty crash
cp "$models/demo.gguf" "$work/demo.gguf"
LEAT_FAKE_VOCAB=$("$leat" inspect "$work/demo.gguf" --json | sed -n 's/.*"n_vocab": *\([0-9]*\).*/\1/p' | head -1)
check 'other tokens' 1 'tokens +DIFFER from number 1 on: leat has .*libllama 2 3 4 5' \
    "$leat" validate "$work/demo.gguf" --lib "$fake" -n 20
check 'its own help' 0 'compare the logits of the first N tokens \(128\)' "$(dirname "$leat")/leat-validate" --help
cp "$leat" "$work/leat"
check 'the helper is missing' 1 'leat-validate: No such file' "$work/leat" validate "$models/ids.gguf"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
