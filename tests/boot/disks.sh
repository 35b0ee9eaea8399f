#!/usr/bin/env bash
# disks.sh B: storage of the bootable image in QEMU: the kernel B/leat.elf reads disks that Debian's tools made, and says
# what B/leat says of the same files. Needs qemu-system-x86, ovmf, e2fsprogs and gdisk.
set -u
B=$1 work=$1/test-files/boot-disks passed=0 failed=0
export PATH=$PATH:/usr/sbin:/sbin
rm -rf "$work"
mkdir -p "$work/files"

# guest MEMORY MACHINE OPTIONS QEMU-ARGUMENT...: what it prints goes to $work/log; its status is QEMU's, 33 for success.
guest() {
    local memory=$1 machine=$2 options=$3
    shift 3
    timeout 400 qemu-system-x86_64 -M "$machine" -accel tcg,thread=single -cpu max -m "$memory" -kernel "$B/leat.elf" \
        -display none -serial stdio -monitor none -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4 \
        -append "$options then=exit" "$@" < /dev/null > "$work/log" 2> "$work/qemu-log"
}
# ok NAME CONDITION...: counts, and shows the log of what failed.
ok() {
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $name"
        sed 's/^/    /' "$work/log" | tail -30
    fi
}
logged() { grep -aqF -- "$1" "$work/log"; }
# A disk of this kind, named d, from an image or a blkdebug description of one.
disk_of() { echo -drive "file=$1,format=raw,if=none,id=d,rerror=report" -device "$2,drive=d"; }
nvme=nvme,serial=1 virtio=virtio-blk-pci

# One disk: an ext4 with a file of 256 MiB and a model in a folder, and a partition that is a model.
head -c 268435456 /dev/urandom > "$work/files/big.bin"
mkdir "$work/files/models"
cp sample/sample.gguf "$work/files/models/m.gguf"
sum=$(sha256sum < "$work/files/big.bin") sum=${sum%% *}
truncate -s 400M "$work/disk" "$work/ext4"
truncate -s 384M "$work/ext4"
mke2fs -q -F -t ext4 -b 4096 -d "$work/files" "$work/ext4"
sgdisk -n 1:2048:+384M -n 2:0:0 "$work/disk" > /dev/null
dd if="$work/ext4" of="$work/disk" bs=1M seek=1 conv=notrunc status=none
dd if=sample/sample.gguf of="$work/disk" bs=1M seek=385 conv=notrunc status=none
rm -r "$work/files" "$work/ext4"
say="-p 'Once upon' -n 12 --temp 0 --isa avx2 -q"
"$B/leat" run sample/sample.gguf -p 'Once upon' -n 12 --temp 0 --isa avx2 -q > "$work/said"

for kind in nvme virtio; do
    # shellcheck disable=SC2046
    guest 512M q35 'run="verify big.bin"' $(disk_of "$work/disk" "${!kind}")
    ok "$kind: ends well" [ $? = 33 ]
    ok "$kind: 256 MiB have the SHA-256 they were written with" logged "$sum"
done

# One block cannot be read: that is said with disk and block, and all else goes on. The block is in the middle of the file.
cat > "$work/blkdebug" << 'EOF'
[inject-error]
event = "read_aio"
errno = "5"
sector = "400000"
once = "off"
EOF
for kind in nvme virtio; do
    # shellcheck disable=SC2046
    guest 512M q35 "run=\"verify big.bin\" run=\"run models/m.gguf $say\" run=lsblk" \
        $(disk_of "blkdebug:$work/blkdebug:$work/disk" "${!kind}")
    ok "$kind: a read error is the command's" [ $? = 35 ]
    ok "$kind: a read error names the disk and the blocks" grep -aqE '(nvme|disk)0: reading blocks (39|40)[0-9]{4} to 40[0-9]{4} failed' "$work/log"
    ok "$kind: a read error names the file" logged 'big.bin: input'
    ok "$kind: after a read error a model answers" logged "$(head -1 "$work/said")"
    ok "$kind: errors are counted" logged 'errors, the last one at block'
done

# A partition without a file system is a model, also where devices are memory-mapped (legacy and not).
for legacy in true false; do
    # shellcheck disable=SC2046
    guest 512M microvm "run=\"run /disk0p2 $say\"" -global virtio-mmio.force-legacy=$legacy $(disk_of "$work/disk" virtio-blk-device)
    ok "microvm, legacy $legacy: ends well" [ $? = 33 ]
    ok "microvm, legacy $legacy: a model on a partition answers" logged "$(head -1 "$work/said")"
done
rm "$work/disk"

# More weights than memory, in three files, on a disk with blocks of 4096 bytes.
mkdir "$work/files"
"$B/boot-model" "$work/files/big-00001-of-00003.gguf"
"$B/leat" run "$work/files/big-00001-of-00003.gguf" -p 'Once upon' -n 12 --temp 0 --isa avx2 -q > "$work/said"
truncate -s 200M "$work/disk"
mke2fs -q -F -t ext4 -b 4096 -N 64 -m 0 -d "$work/files" "$work/disk"
# shellcheck disable=SC2046
guest 128M q35 "run=\"run big-00001-of-00003.gguf -p 'Once upon' -n 12 --temp 0 --isa avx2\"" \
    $(disk_of "$work/disk" nvme,serial=1,logical_block_size=4096,physical_block_size=4096)
ok "streaming: ends well" [ $? = 33 ]
ok "streaming: 154 MiB of weights in 128 MiB of memory" logged 'leat run: streaming: '
ok "streaming: direct reads" logged 'direct reads by polled disk queues'
ok "streaming: says what it says with all of them" logged "$(head -1 "$work/said")"
rm -r "$work/files" "$work/disk"

# `leat image`: a disk that boots by itself under both firmwares, and one for a machine that is given the kernel.
image() { "$B/leat" image sample/sample.gguf -o "$work/$1" --option "run=\"run sample.gguf $say\"" --option run=verify \
    --option then=exit "${@:2}"; }
"$B/leat" run sample/sample.gguf -p 'Once upon' -n 12 --temp 0 --isa avx2 -q > "$work/said"
alone() { # QEMU-ARGUMENT...: a machine without a kernel of its own
    timeout 400 qemu-system-x86_64 -M q35 -accel tcg,thread=single -cpu max -m 512M -display none -serial stdio -monitor none \
        -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4 -net none "$@" < /dev/null > "$work/log" 2> "$work/qemu-log"
}
image one > "$work/log" 2>&1
ok "image: is written" [ $? = 0 ]
image two > "$work/log" 2>&1
ok "image: the same input gives the same bytes" cmp "$work/one" "$work/two"
sgdisk -v "$work/one" > "$work/log"
ok "image: sgdisk finds no problems" logged 'No problems found'
"$B/leat" image --list "$work/one" > "$work/log" 2>&1
ok "image: is listed, with sums" logged "$(sha256sum < sample/sample.gguf | cut -d' ' -f1)  sample.gguf"
# shellcheck disable=SC2046
alone $(disk_of "$work/one" "$virtio")
ok "image: boots under BIOS" [ $? = 33 ]
ok "image: answers under BIOS" logged "$(head -1 "$work/said")"
ok "image: is as its manifest says" logged '/disk0p2/sample.gguf  as in the manifest'
firmware=$(find /usr/share/ovmf /usr/share/OVMF -name OVMF.fd 2> /dev/null | head -1)
# shellcheck disable=SC2046
alone -bios "$firmware" $(disk_of "$work/one" "$nvme")
ok "image: boots under UEFI" [ $? = 33 ]
ok "image: answers under UEFI" logged "$(head -1 "$work/said")"
rm "$work/two"
image raw --raw > "$work/log" 2>&1
# shellcheck disable=SC2046
guest 512M q35 '' $(disk_of "$work/raw" "$nvme")
ok "image: without loaders: its configuration is that of the kernel" [ $? = 33 ]
ok "image: without loaders: answers" logged "$(head -1 "$work/said")"

# Damage: a byte of a model, then one of the manifest.
printf x | dd of="$work/raw" bs=1 seek=$((2 * 1048576 + 1048576 + 4000000)) conv=notrunc status=none
# shellcheck disable=SC2046
guest 512M q35 '' $(disk_of "$work/raw" "$nvme")
ok "image: a damaged model is named" logged '/nvme0p1/sample.gguf  NOT as in the manifest'
printf x | dd of="$work/raw" bs=1 seek=$((1048576 + 100)) conv=notrunc status=none
# shellcheck disable=SC2046
guest 512M q35 'run=verify' $(disk_of "$work/raw" "$nvme")
ok "image: a damaged manifest is named at boot" logged 'nvme0p1: the manifest is damaged'
"$B/leat" image --list "$work/raw" > "$work/log" 2>&1
ok "image: a damaged manifest is not listed" [ $? = 1 ]
ok "image: --list says why" logged 'the manifest is damaged'
rm "$work/one" "$work/raw"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
