#!/bin/sh
# selftest.sh BUILD CC NM: a tree with one breach of each rule; tidy must name every one, and nothing in a good file.
set -eu
build=$1 cc=$2 nm=$3
here=tests/tidy
try=$build/tidy-try
rm -rf "$try"
for folder in base mem quant gguf kern pool tools model plat/posix; do mkdir -p "$try/src/$folder"; done
fails=0

file() { # path: the text comes on standard input
    cat >"$try/src/$1"
}
function_of() { # name lines
    echo "int $1(int a) {"
    lines "    a++;" $(($2 - 2))
    echo "}"
}
lines() { # text count
    awk -v text="$1" -v n="$2" 'BEGIN { for (i = 0; i < n; i++) print text }'
}
expect() { # text that the output must hold
    grep -qF -- "$1" "$try/out" || {
        echo "tests/tidy/selftest.sh: tidy does not say: $1"
        fails=1
    }
}

printf '/* good */\n#include "base/base.h"\n#include "plat/plat.h"\n#include <stdint.h>\n' | file mem/good.c
{
    printf '/* good: exactly as long as may be. */\n'
    function_of good_short 70
    printf '/* A state machine. */\n'
    function_of good_long 150
} | file quant/good.c
{
    printf '/* good */\nconst char *s = "#include \\"x\\" { { {"; /* { { */\n#define OPEN {\n'
    function_of good_text 70
} | file quant/good_text.c
{ printf '/* good */\n'; lines 'int x;' 1200; } | file quant/good_tables.c
{ printf '/* good */\n'; function_of good_kernel 150; } | file kern/good.c
"$build/tidy" "$try/src" >"$try/out" || {
    cat "$try/out"
    echo "tests/tidy/selftest.sh: tidy finds fault with good files"
    fails=1
}

printf '/* up */\n#include "quant/quant.h"\n' | file mem/up.c
printf '/* side */\n#include "pool/pool.h"\n' | file kern/side.c
printf '/* posix */\n#include "plat/posix/posix.h"\n' | file tools/posix.c
printf '/* nowhere */\n#include "nowhere.h"\n' | file tools/nowhere.c
printf '/* own */\n#include "gguf/gguf_int.h"\n' | file tools/own.c
printf '/* libc */\n#include <stdio.h>\n' | file tools/libc.c
printf '/* simd */\n#include <immintrin.h>\n' | file pool/simd.c
printf '/* a */\n#include "pool/b.h"\n' | file pool/a.h
printf '/* b */\n#include "pool/a.h"\n' | file pool/b.h
{ printf '/* long */\n'; lines 'int x;' 1000; } | file model/long.c
{ printf '/* head */\n'; lines 'int x;' 300; } | file gguf/gguf.h
{ printf '/* tall */\n'; function_of tall_one 71; } | file gguf/tall.c
{ printf '/* attribute */\n__attribute__((noinline)) '; function_of after_attribute 71; } | file gguf/attribute.c
{ printf '/* wide */\n/* '; lines x 200 | tr -d '\n'; printf ' */\n'; } | file gguf/wide.c
printf '/* tab */\n\tint x;\n' | file gguf/tab.c
printf '/* space */\nint x; \n' | file gguf/space.c
printf '/* end */\nint x;' | file gguf/end.c
printf 'int x;\n' | file gguf/banner.c
printf '/* if */\n#ifdef X\n#endif\n' | file gguf/if.c
if "$build/tidy" "$try/src" >"$try/out"; then
    echo "tests/tidy/selftest.sh: tidy accepts a bad tree"
    fails=1
fi
expect 'src/mem/up.c:2: includes "quant/quant.h" (floor 2); wanted lower than floor 1'
expect 'src/kern/side.c:2: includes "pool/pool.h" (floor 3); wanted lower than floor 3'
expect 'src/tools/posix.c:2: includes "plat/posix/posix.h"'
expect 'src/tools/nowhere.c:2: includes "nowhere.h", which stands on no floor'
expect 'src/tools/own.c:2: includes "gguf/gguf_int.h", which is for its own folder'
expect 'src/tools/libc.c:2: includes <stdio.h>'
expect 'src/pool/simd.c:2: includes <immintrin.h>'
expect 'which includes it; wanted no cycle'
expect 'src/model/long.c:1001: 1001 lines; wanted at most 1000'
expect 'src/gguf/gguf.h:301: a public header of 301 lines; wanted at most 300'
expect 'src/gguf/tall.c:2: tall_one has 71 lines; wanted at most 70'
expect 'src/gguf/attribute.c:2: after_attribute has 71 lines'
expect 'src/gguf/wide.c:2: 206 columns'
expect 'src/gguf/tab.c:2: a tab'
expect 'src/gguf/space.c:2: white space at the end'
expect 'src/gguf/end.c:2: no newline at the end'
expect 'src/gguf/banner.c:1: no banner'
expect 'src/gguf/if.c:2: a conditional in the core'

printf '/* header */\nsize_t n;\n' | file gguf/alone.h
if sh $here/headers.sh "$cc -I$try/src" "$try/src/gguf/alone.h" >"$try/out"; then fails=1; fi
expect 'src/gguf/alone.h: does not compile alone'

cat >"$try/src/gguf/symbols.c" <<'C'
int printf(const char *format, ...);
void plat_good(void);
int gguf_good(void);
int stranger(void);
const char *const gguf_names[] = {"a", "b"};
static int counter;
int gguf_good(void) { plat_good(); return printf("%d", ++counter); }
int stranger(void) { return 1; }
C
$cc -O1 -ffreestanding -fPIE -c "$try/src/gguf/symbols.c" -o "$try/src/gguf/symbols.o"
if NM=$nm sh $here/symbols.sh "$try/src/gguf/symbols.o" >"$try/out"; then fails=1; fi
expect 'src/gguf/symbols.c: calls printf'
expect 'src/gguf/symbols.c: mutable counter'
expect 'src/gguf/symbols.c: exports stranger; wanted a name that starts with gguf_'
if [ "$(wc -l <"$try/out")" -ne 3 ]; then
    cat "$try/out"
    echo "tests/tidy/selftest.sh: symbols.sh names more than three breaches in a file with three"
    fails=1
fi
rm -rf "$try"
exit $fails
