#!/usr/bin/env bash
# sample.sh LEAT SCORE DIR WORK: the sample model in DIR answers DIR/questions.txt; WORK may be overwritten. Ends with
# `N passed, N failed`.
set -u
leat=$1 score=$2 dir=$3 work=$4
mkdir -p "$work"
model=$dir/sample.gguf questions=$dir/questions.txt
passed=0 failed=0
ok() { if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $2"; fi; }

# scores LEVEL FIRST MIN: of the first FIRST questions at least MIN are right: what it got when it was made
# (docs/SAMPLE.md), less one in a hundred. The plain C kernels are slow, and are asked fewer.
scores() {
    local out right
    out=$("$score" --isa "$1" --first "$2" "$model" "$questions")
    right=$(tail -n 1 <<< "$out" | cut -d' ' -f1)
    [ "${right:-0}" -ge "$3" ]
    ok $? "$1: ${right:-none} of $2 right, wanted $3: $(head -n 5 <<< "$out")"
}
scores scalar 40 39
for level in $("$leat" run --help | sed -n 's/.*--isa scalar|\([a-z0-9|]*\).*/\1/p' | tr '|' ' '); do
    "$leat" run -m "$model" -p "2+2" -n 1 --isa $level > /dev/null 2>&1 && scores $level 200 198
done
says() {
    local got
    got=$("$leat" run -m "$model" -p "$1" -q --temp 0 2>&1)
    [ "$got" = "$2" ]
    ok $? "'$1': '$got', wanted '$2'"
}
says "What is 2+2?" "The sum of 2 and 2 is 4."
says "<|user|>What is leat?</s><|assistant|>" "leat runs large language models from GGUF files."
first="<|user|>What is 12+30?</s><|assistant|>The sum of 12 and 30 is 42.</s>"
says "$first<|user|>Take 7 from that.</s><|assistant|>" "The difference of 42 and 7 is 35."
template=$("$leat" template "$model" --messages '[{"role":"user","content":"What is leat?"}]')
[ "$template" = "<s><|user|>What is leat?</s><|assistant|>" ]
ok $? "the template gives '$template'"
# Far beyond what it was trained for: nonsense, but no NaN.
for _ in 1 2 3 4; do cat README.md; done > "$work/long.txt"
grep -q 'PPL = [0-9]' < <("$leat" perplexity -m "$model" -f "$work/long.txt" -c 4096 --chunks 1 2>&1)
ok $? "the perplexity of a long text is no number"
[ "$(wc -c < "$model")" -le 6000000 ]
ok $? "$model is larger than 6 MB"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
