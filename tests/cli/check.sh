# check.sh: what the command-line tests share; read by them. $out and $err are the files for a command's output.
passed=0 failed=0

pass() { passed=$((passed + 1)); }
fail() {
    failed=$((failed + 1))
    echo "FAIL $1"
    echo "     $2"
    sed 's/^/     err: /' "$err" | head -5
}
# check NAME STATUS OUT ERR COMMAND...: the exit status, and a pattern (grep -E) each for what the command writes to standard output
# and to standard error; "" wants nothing written, "." anything, "*" anything or nothing.
check() {
    local name=$1 status=$2 want_out=$3 want_err=$4 got
    shift 4
    "$@" > "$out" 2> "$err"
    got=$?
    if [ $got != "$status" ]; then fail "$name" "exit status $got, wanted $status: $*"
    elif ! like "$out" "$want_out"; then fail "$name" "stdout is not like '$want_out': $(head -c 200 "$out")"
    elif ! like "$err" "$want_err"; then fail "$name" "stderr is not like '$want_err': $(head -c 200 "$err")"
    else pass; fi
}
like() {
    case $2 in
        '*') true ;;
        '') [ ! -s "$1" ] ;;
        *) grep -aqE -- "$2" "$1" ;;
    esac
}
# same NAME FILE FILE...: all of them have the same bytes, and some.
same() {
    local name=$1 first=$2 f
    shift 2
    [ -s "$first" ] || { fail "$name" "$first is empty"; return; }
    for f; do cmp -s "$first" "$f" || { fail "$name" "$first and $f differ"; return; }; done
    pass
}
bytes_are() { if [ "$(wc -c < "$2")" = "$3" ]; then pass; else fail "$1" "$2 has $(wc -c < "$2") bytes, wanted $3"; fi; }
