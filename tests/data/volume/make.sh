#!/usr/bin/env bash
# make.sh: writes the packed images of this folder anew, with e2fsprogs and gdisk (1.47, 1.0.9). Run by hand; the inode
# times and GUIDs differ each time, the tests do not look at them.
set -e
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH=$PATH:/usr/sbin E2FSPROGS_FAKE_TIME=1000000000
mkdir -p "$work/d/models"
printf 'hello\n' > "$work/d/small.txt"
head -c 3000 /dev/zero | tr '\0' x > "$work/d/models/m.gguf"
truncate -s 200000 "$work/d/holes"; printf 'end' | dd of="$work/d/holes" bs=1 seek=150000 conv=notrunc status=none
ext4() { # NAME BYTES OPTIONS...
    local name=$1 bytes=$2; shift 2
    rm -f "$work/i"; truncate -s "$bytes" "$work/i"
    mke2fs -q -t ext4 -E nodiscard,lazy_itable_init=0 -m 0 -U 01234567-89ab-cdef-0123-456789abcdef -d "$work/d" "$@" "$work/i"
    python3 "$here/pack.py" "$work/i" "$here/$name"
}
ext4 ext4-1k 1M -b 1024 -N 16 -O 64bit,metadata_csum,^has_journal,^resize_inode
ext4 ext4-4k 2M -b 4096 -N 16 -O ^64bit,^metadata_csum,^has_journal,^resize_inode
rm -f "$work/i"; truncate -s 2M "$work/i"
sgdisk -a 8 -n 1:64:1023 -c 1:first -t 1:8300 -n 2:1024:2047 -c 2:second "$work/i" > /dev/null
python3 "$here/pack.py" "$work/i" "$here/gpt"
