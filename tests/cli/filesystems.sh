#!/usr/bin/env bash
# filesystems.sh LEAT MODEL FOLDER: a model streamed from every file system that can be made here (an image in a file, mounted
# by a loop device; tmpfs and overlay as they are): the text is that of the mapped model, what is said of the reads is
# what the file system allows, and the page cache does not keep what was read. What cannot be made is skipped, with its
# reason.
set -u
PATH=$PATH:/usr/sbin:/sbin
leat=$(realpath "$1") model=$(realpath "$2") work=$3
rm -rf "$work"
mkdir -p "$work"
work=$(realpath "$work")
out=$work/out err=$work/err
. "$(dirname "$0")/check.sh"
mounts=()
pid=''
finish() {
    [ -n "$pid" ] && kill -9 "$pid" 2> /dev/null && wait "$pid" 2> /dev/null
    for m in "${mounts[@]}"; do umount "$m" 2> /dev/null; done
    rm -f "$work"/*.image
}
trap finish EXIT
mounted() { # where, mount's arguments: true if it is mounted there
    mkdir -p "$1"
    mount "${@:2}" "$1" 2> "$err" || return 1
    mounts=("$1" "${mounts[@]}")
}
printf '1 2 3 4 5 6 7 8' > "$work/ids"
run() { "$leat" run "$1" --ids "$work/ids" -n 24 --temp 0 -c 64 -t 2 --ignore-eos --no-usage "${@:2}"; }
check mapped 0 . '' run "$model" -q
mv "$out" "$work/mapped"

image() { # name, options of mount, mkfs and its options: one that is mounted
    local name=$1 options=$2 file=$work/$1.image
    shift 2
    command -v "$1" > /dev/null || { echo "skip filesystems: $name: no $1 here"; return 1; }
    truncate -s 600M "$file"
    "$@" "$file" > /dev/null 2> "$err" && mounted "$work/$name" -o "$options" "$file" ||
        { echo "skip filesystems: $name cannot be made and mounted here: $(head -c 100 "$err")"; return 1; }
}
streams() { # name, pattern of how it reads
    cp "$model" "$work/$1/model.gguf" || { fail "$1" "no room for the model"; return; }
    sync "$work/$1/model.gguf"
    check "$1" 0 . "streaming: .* of 256 experts; $2" run "$work/$1/model.gguf" --ram 130M
    echo "$1: $(grep -o '[a-z]* reads by [^,]*' "$err")"
    same "$1-text" "$work/mapped" "$out"
}
# A run ends amid its text, with no time to tidy up.
keeps_none() { # name
    local model=$work/$1/model.gguf kept i
    command -v fincore > /dev/null || { echo "skip filesystems: $1: no fincore here"; return; }
    "$leat" run "$model" --ids "$work/ids" -n 1000 --temp 0 -c 1024 -t 2 --ignore-eos --no-usage --ram 130M \
        > "$out" 2> "$err" &
    pid=$!
    for ((i = 0; i < 1200 && $(wc -w < "$out") < 40; i++)); do sleep 0.05; done
    kill -9 "$pid"
    wait "$pid" 2> /dev/null
    pid=''
    kept=$(fincore -bnro RES "$model")
    echo "$1: the page cache has $((kept >> 10)) KiB of $(($(stat -c %s "$model") >> 10))"
    if [ "$(wc -w < "$out")" -ge 40 ] && [ "$kept" -lt $((16 << 20)) ]; then pass
    else fail "$1-keeps-none" "$(wc -w < "$out") ids, $kept bytes in the page cache"; fi
}
image ext4 loop mkfs.ext4 -q && streams ext4 'direct reads by' && keeps_none ext4
image ext4-journal loop,data=journal mkfs.ext4 -q && streams ext4-journal 'buffered reads by' && keeps_none ext4-journal
image xfs loop mkfs.xfs -q && streams xfs 'direct reads by' && keeps_none xfs
image btrfs loop mkfs.btrfs -q && streams btrfs 'direct reads by' && keeps_none btrfs
if mounted "$work/tmpfs" -t tmpfs -o size=400M tmpfs; then streams tmpfs '(direct|buffered) reads by'
else echo "skip filesystems: tmpfs cannot be mounted here"; fi
mkdir -p "$work/lower" "$work/upper" "$work/space"
if mounted "$work/overlay" -t overlay -o "lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/space" overlay; then
    streams overlay '(direct|buffered) reads by'
else
    echo "skip filesystems: overlay cannot be mounted here"
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
