#!/usr/bin/env bash
# filesystems.sh LEAT MODEL FOLDER: a model streamed from every file system that can be made here (an image in a file, mounted
# by a loop device; tmpfs and overlay as they are): the text is that of the mapped model, and what is said of the reads
# is what the file system allows. What cannot be made is skipped, with its reason.
set -u
PATH=$PATH:/usr/sbin:/sbin
leat=$(realpath "$1") model=$(realpath "$2") work=$3
rm -rf "$work"
mkdir -p "$work"
work=$(realpath "$work")
out=$work/out err=$work/err
. "$(dirname "$0")/check.sh"
mounts=()
finish() {
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

image() { # name, mkfs and its options: one that is mounted
    local name=$1 file=$work/$1.image
    shift
    command -v "$1" > /dev/null || { echo "skip filesystems: $name: no $1 here"; return 1; }
    truncate -s 600M "$file"
    "$@" "$file" > /dev/null 2> "$err" && mounted "$work/$name" -o loop "$file" ||
        { echo "skip filesystems: $name cannot be made and mounted here: $(head -c 100 "$err")"; return 1; }
}
streams() { # name, pattern of how it reads
    cp "$model" "$work/$1/model.gguf" || { fail "$1" "no room for the model"; return; }
    sync "$work/$1/model.gguf"
    check "$1" 0 . "streaming: .* of 256 experts; $2" run "$work/$1/model.gguf" --ram 130M
    echo "$1: $(grep -o '[a-z]* reads by [^,]*' "$err")"
    same "$1-text" "$work/mapped" "$out"
}
image ext4 mkfs.ext4 -q && streams ext4 'direct reads by'
image xfs mkfs.xfs -q && streams xfs 'direct reads by'
image btrfs mkfs.btrfs -q && streams btrfs 'direct reads by'
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
