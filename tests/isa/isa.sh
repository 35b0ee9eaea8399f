#!/usr/bin/env bash
# isa.sh ARCH BUILD DIR WORK TEST...: the build of BUILD/ARCH beside that of BUILD, with the sample model in DIR; then TESTs.
# WORK may be overwritten. Ends with `N passed, N failed`.
set -u
arch=$1 here=$2 there=$2/$1 dir=$3 work=$4
shift 4
mkdir -p "$work"
there() { "qemu-$arch" $cpu "$there/$@"; }
passed=0 failed=0
ok() { if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $2"; fi; }
model=$dir/sample.gguf cpu=
[ "$arch" = aarch64 ] && cpu="-cpu max"

# The plain level: the same bits as here, as a prompt and one by one, of weights of each kind.
seq 5 16 > "$work/ids"
cp "$model" "$work/as-it-is.gguf"
for type in as-it-is F16 Q8_0 Q4_K IQ3_S TQ2_0; do
    [ $type = as-it-is ] || "$here/leat" quantize "$model" "$work/$type.gguf" $type --allow-requantize --pure > /dev/null 2>&1
    for batch in "" "-b 1"; do
        "$here/leat" eval "$work/$type.gguf" --ids "$work/ids" --logits "$work/here.f32" --isa scalar $batch > /dev/null 2>&1 &&
            there leat eval "$work/$type.gguf" --ids "$work/ids" --logits "$work/there.f32" --isa scalar $batch > /dev/null &&
            cmp "$work/here.f32" "$work/there.f32"
        ok $? "$type $batch: the logits of the scalar level are not those of this machine"
    done
done

# Each level answers questions.
levels=$(there leat run --help | sed -n 's/.*--isa \([a-z0-9|]*\).*/\1/p' | tr '|' ' ')
"$here/sample-score" --isa scalar --first 4 --answers "$work/here.txt" "$model" "$dir/questions.txt" > /dev/null
for level in $levels; do
    there sample-score --isa $level --first 4 --answers "$work/there.txt" "$model" "$dir/questions.txt" > /dev/null &&
        cmp "$work/here.txt" "$work/there.txt"
    ok $? "$level: other answers than here"
done
# A CPU without what a level needs is told so, and runs the plain one.
if [ "$arch" = aarch64 ]; then
    cpu="-cpu cortex-a57"
    there leat run -m "$model" -p "What is 2+2?" --isa neon 2>&1 | grep -q 'neon (not on this CPU)'
    ok $? "a CPU without dot products is not told that it has no neon"
    [ "$(there leat run -m "$model" -p "What is 2+2?" -q --temp 0)" = "The sum of 2 and 2 is 4." ]
    ok $? "a CPU without dot products does not answer"
    cpu="-cpu max"
fi

# Half of the tests on each of two cores.
for part in 1 2; do
    LEAT_TEST_DIR=$work/half-$part there test --part=$part/2 "$@" > "$work/half-$part.log" 2>&1 &
    pids[part]=$!
done
for part in 1 2; do
    wait "${pids[part]}"
    status=$?
    read -r p f < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' "$work/half-$part.log" | tail -1) || { p=0; f=1; }
    [ $status != 0 ] && [ "$f" = 0 ] && f=1
    passed=$((passed + p)) failed=$((failed + f))
    grep -A2 '^FAIL' "$work/half-$part.log"
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
