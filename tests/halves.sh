#!/usr/bin/env bash
# halves.sh TEST: the C tests in two processes side by side, each with a folder of its own below $LEAT_TEST_DIR.
set -u
mkdir -p "$LEAT_TEST_DIR"
for part in 1 2; do
    LEAT_TEST_DIR=$LEAT_TEST_DIR/half-$part "$1" --part=$part/2 > "$LEAT_TEST_DIR/half-$part.log" 2>&1 &
    pids[part]=$!
done
status=0 passed=0 failed=0
for part in 1 2; do
    wait "${pids[part]}" || status=1
    log=$LEAT_TEST_DIR/half-$part.log
    grep -vE '^[0-9]+ passed, [0-9]+ failed' "$log"
    read -r p f < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' "$log" | tail -1) || { p=0; f=1; }
    passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
exit $status
