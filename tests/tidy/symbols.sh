#!/bin/sh
# symbols.sh OBJECT...: what the compiled core asks for, exports and keeps. A line a breach: file, seen, wanted.
# Objects are named .../src/FOLDER/FILE.o. Needs nm that knows --format=sysv (GNU, LLVM); NM names another.
set -eu
"${NM:-nm}" -A --format=sysv "$@" | awk -F'|' '
BEGIN {
    # Not defined by the core itself: the machine, and what a compiler may call.
    split("memcpy memmove memset memcmp _GLOBAL_OFFSET_TABLE_", list, " ")
    for (i in list) outside[list[i]] = 1
    # State that a header documents: folder/file:name (static variables of functions end in a number).
    split("base/err:assert_hook mem/mem:held mem/mem:held_total mem/mem:limit_bytes mem/mem:peak mem/mem:peak_total", list, " ")
    for (i in list) state[list[i]] = 1
    # Prefixes beside the folder name: headers that hold a second noun, and the public API.
    also["mem"] = "arena_"
    also["engine"] = "leat_"
}
NF < 7 { next }
{
    at = index($1, ".o:")
    if (!at) next
    file = substr($1, 1, at - 1)
    name = substr($1, at + 3)
    gsub(/ /, "", name)
    class = $3
    section = $7
    gsub(/ /, "", class)
    gsub(/ /, "", section)
    sub(/^.*src\//, "", file)
    folder = file
    sub(/\/.*/, "", folder)
    base = file
    sub(/^.*\//, "", base)
    source = "src/" file ".c"
    if (class == "U" || class == "w") {
        if (!(name in wanted_by)) wanted_by[name] = source
        next
    }
    if (class ~ /[A-Z]/ && class != "N") {
        if (name in defined) breach(source, "exports " name ", which " defined[name] " exports too", "one definition")
        defined[name] = source
        if (folder != "base" && index(name, folder "_") != 1 && !(folder in also && index(name, also[folder]) == 1) &&
            !(folder == "tools" && index(name, base "_") == 1))
            breach(source, "exports " name, "a name that starts with " folder "_, or static")
    }
    if (class ~ /[bBdDcCsS]/ && section !~ /\.data\.rel\.ro/ && section !~ /^\.rodata/) {
        plain = name
        sub(/\.[0-9]+$/, "", plain)
        if (!((file ":" plain) in state))
            breach(source, "mutable " plain " in " section, "no state but in handles, or a row in symbols.sh")
    }
}
function breach(source, seen, wanted) {
    print source ": " seen "; wanted " wanted | "sort"
    n++
}
END {
    for (name in wanted_by)
        if (!(name in defined) && !(name in outside) && index(name, "plat_") != 1)
            breach(wanted_by[name], "calls " name, "plat_*, memcpy, memmove, memset, memcmp or the core itself")
    close("sort")
    exit n > 0
}'
