#!/usr/bin/env bash
# machine.sh [CPUINFO]: two lines, what heads the pages of this machine in docs/bench and what their files are called.
# The CPU's family stands in both, where the system tells it: clouds call processors of several generations alike. So does
# AVX2 where there is no AVX-512: a family has processors with AVX-512 and without.
set -u
title=$(awk '
    sub(/^model name[ \t]*: /, "") && name == "" { name = $0 }
    sub(/^cpu family[ \t]*: /, "") && family == "" { family = ", family " $0 }
    /^flags/ && / avx2( |$)/ && !/ avx512f( |$)/ { only = ", AVX2" }
    END { if (name != "") print name family only }' "${1:-/proc/cpuinfo}")
title=${title:-$(uname -m)} # ARM's list has numbers only
echo "$title"
echo "$title" | tr -cs 'A-Za-z0-9\n' '-' | sed 's/-*$//'
