#!/bin/sh
# headers.sh 'CC FLAGS' HEADER...: each header must compile alone. A line a breach.
set -u
cc=$1
shift
status=0
for h in "$@"; do
    text=$($cc -x c -fsyntax-only "$h" 2>&1) || {
        echo "$h: does not compile alone; wanted that it includes what it uses:" \
            "$(printf '%s\n' "$text" | grep -m1 error)"
        status=1
    }
done
exit $status
