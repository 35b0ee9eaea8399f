#!/usr/bin/env bash
# templates.sh PYTHON RENDER COUNT [FOLDER...]: the comparisons of peer.py, added up: `N passed, N failed`.
set -u
python=$1 render=$2 random=$3
shift 3
here=$(dirname "$0") passed=0 failed=0
count() {
    local p f
    read -r p f < <("$@" | tee /dev/stderr | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p') || { p=0; f=1; }
    passed=$((passed + p)) failed=$((failed + f))
}
"$python" -W ignore "$here/peer.py" expect "$render" > /dev/null && passed=1 || failed=1
count "$python" -W ignore "$here/peer.py" random "$render" "$random"
[ $# = 0 ] || count "$python" "$here/peer.py" compare "$render" "$@"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
