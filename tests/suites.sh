#!/usr/bin/env bash
# suites.sh NAME...: runs `make suite-NAME` for each, shows the output of those that fail, and ends with
# `N passed, N failed` over all. suites.sh --sum NAME... adds up what earlier calls counted.
# What cannot be tested here says `skip NAME: why`: a whole suite, which then counts nothing, or a part of one. Wants $B (the
# build folder) and $MAKE. Fails when a test failed, or a suite ended without its closing line.
set -u
dir=$B/suites
mkdir -p "$dir"

sum() {
    local passed=0 failed=0 p f s name skipped=()
    for name; do
        read -r p f s < "$dir/$name.count" || { p=0; f=1; s=0; }
        passed=$((passed + p)) failed=$((failed + f))
        if [ $((p + f)) = 0 ]; then skipped+=("$name")
        elif [ "${s:-0}" != 0 ]; then skipped+=("$s of $name"); fi
    done
    [ ${#skipped[@]} = 0 ] || echo "skipped: ${skipped[*]}"
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" != 0 ]
}

if [ "${1-}" = --sum ]; then
    shift
    sum "$@"
    exit
fi
for name; do
    log=$dir/$name.log start=$SECONDS
    $MAKE --no-print-directory "suite-$name" > "$log" 2>&1
    status=$?
    read -r p f < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' "$log" | tail -1) || { p=0; f=0; }
    [ $status != 0 ] && [ "$f" = 0 ] && f=1 # it stopped before it could count
    [ $((p + f)) = 0 ] && ! grep -q '^skip ' "$log" && f=1 # it tested nothing, and does not say why
    s=$(grep -c '^skip ' "$log")
    echo "$p $f $s" > "$dir/$name.count"
    [ "$f" != 0 ] && { echo "---- $name ----"; tail -n 60 "$log"; }
    grep '^skip ' "$log"
    printf '%-10s %s passed, %s failed%s (%s s)\n' "$name" "$p" "$f" "$([ "$s" = 0 ] || echo ", $s skipped")" $((SECONDS - start))
done
sum "$@"
