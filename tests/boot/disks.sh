#!/usr/bin/env bash
# disks.sh: storage of the bootable image: the kernel reads disks that Debian's tools made, and says what B/leat says of the same
# files. Wants B, the build folder.
set -u
out=$B/test-files/boot-disks
rm -rf "$out" && mkdir -p "$out"
. tests/boot/lib.sh
export PATH=$PATH:/usr/sbin:/sbin
memory=512M seconds=400
nvme=nvme,serial=1 virtio=virtio-blk-pci

# guest NAME STATUS OPTIONS DISK DEVICE [ARGUMENT...]: a machine with that disk (a file, or a blkdebug description of one) ends with
# STATUS.
guest() {
    qemu "$1" -no-reboot -kernel "$B/leat.elf" -append "on-panic=exit $3 then=exit" \
        -drive "file=$4,format=raw,if=none,id=d,rerror=report,readonly=on" -device "$5,drive=d" "${@:6}"
    local status=$?
    [ $status = "$2" ] || { echo "status $status, wanted $2"; return 1; }
}
say="-p 'Once upon' -n 12 --temp 0 --isa avx2"
answer() { "$B/leat" run "$1" -p 'Once upon' -n 12 --temp 0 --isa avx2 -q | head -1; }
said=$(answer sample/sample.gguf)

# ---- files and models ----------------------------------------------------------------------------------

# One disk: an ext4 with a file of 256 MiB and a model in a folder, and a partition that is a model.
mkdir -p "$out/files/models"
head -c 268435456 /dev/urandom > "$out/files/big.bin"
cp sample/sample.gguf "$out/files/models/m.gguf"
sum=$(sha256sum < "$out/files/big.bin") sum=${sum%% *}
truncate -s 400M "$out/disk" "$out/ext4"
truncate -s 384M "$out/ext4"
mke2fs -q -F -t ext4 -b 4096 -d "$out/files" "$out/ext4"
sgdisk -n 1:2048:+384M -n 2:0:0 "$out/disk" > /dev/null
dd if="$out/ext4" of="$out/disk" bs=1M seek=1 conv=notrunc status=none
dd if=sample/sample.gguf of="$out/disk" bs=1M seek=385 conv=notrunc status=none
rm -r "$out/files" "$out/ext4"

sums() { guest "$1" 33 'run="verify big.bin"' "$out/disk" "$2" && says "$1" "$sum"; }
# One block in the middle of the file cannot be read: that is said with disk and block, and all else goes on.
cat > "$out/blkdebug" << 'EOF'
[inject-error]
event = "read_aio"
errno = "5"
sector = "400000"
once = "off"
EOF
read_error() {
    guest "$1" 35 "run=\"verify big.bin\" run=\"run models/m.gguf $say -q\" run=lsblk" \
        "blkdebug:$out/blkdebug:$out/disk" "$2" &&
        grep -aqE '(nvme|disk)0: reading blocks (39|40)[0-9]{4} to 40[0-9]{4} failed' "$out/$1.log" &&
        says "$1" 'big.bin: input' && says "$1" "$said" && says "$1" 'errors, the last one at block'
}
for kind in nvme virtio; do
    check "sum-$kind" sums "sum-$kind" "${!kind}"
    check "error-$kind" read_error "error-$kind" "${!kind}"
done

# A partition without a file system is a model, also where devices are memory-mapped (legacy and not).
part() {
    guest "$1" 33 "run=\"run /disk0p2 $say -q\"" "$out/disk" virtio-blk-device -global "virtio-mmio.force-legacy=$2" &&
        says "$1" "$said"
}
machine=microvm
for legacy in true false; do check "microvm-legacy-$legacy" part "microvm-legacy-$legacy" $legacy; done
machine=q35

# More weights than memory, in three files, on a disk with blocks of 4096 bytes, computed on one core and on two besides the one
# that has the disk.
mkdir "$out/files"
"$B/boot-model" "$out/files/big-00001-of-00003.gguf"
said_big=$(answer "$out/files/big-00001-of-00003.gguf")
truncate -s 200M "$out/big"
mke2fs -q -F -t ext4 -b 4096 -N 64 -m 0 -d "$out/files" "$out/big"
rm -r "$out/files"
streams() {
    guest "$1" 33 "run=\"run big-00001-of-00003.gguf $say\"" "$out/big" $nvme,logical_block_size=4096,physical_block_size=4096 &&
        says "$1" 'leat run: streaming: ' && says "$1" 'direct reads by polled disk queues' && says "$1" "$said_big"
}
memory=128M
for cores in 1 3; do check "streaming-$cores" streams "streaming-$cores"; done
cores=1 memory=512M

# ---- `leat image`: a disk that boots by itself under both firmwares, and one for a machine that is given the kernel ----------------

image() { "$B/leat" image sample/sample.gguf -o "$out/$1" --option "run=\"run sample.gguf $say -q\"" --option run=verify \
    --option then=exit "${@:2}"; }
image one && image two || echo "leat image failed"
same() { cmp "$out/one" "$out/two"; }
check image-same same
whole() { sgdisk -v "$out/one" > "$out/$1.log" && says "$1" 'No problems found'; }
check image-gpt whole image-gpt
listed() {
    "$B/leat" image --list "$out/one" > "$out/$1.log" &&
        says "$1" "$(sha256sum < sample/sample.gguf | cut -d' ' -f1)  sample.gguf"
}
check image-list listed image-list
boots() { # NAME DEVICE ARGUMENT...
    ends_well "$1" -drive "file=$out/one,format=raw,if=none,id=d,readonly=on" -device "$2,drive=d" "${@:3}" &&
        says "$1" "$said" && says "$1" '/sample.gguf  as in the manifest'
}
firmware=$(find /usr/share/ovmf /usr/share/OVMF -name OVMF.fd 2> /dev/null | head -1)
check image-bios boots image-bios $virtio
check image-uefi boots image-uefi $nvme -bios "$firmware"

# Without loaders: its configuration is that of the kernel. Then with a byte of the model changed, then with one of the manifest.
image raw --raw || echo "leat image --raw failed"
cp "$out/raw" "$out/damaged"
printf x | dd of="$out/damaged" bs=1 seek=$((2 * 1048576 + 1048576 + 4000000)) conv=notrunc status=none
cp "$out/damaged" "$out/worse"
printf x | dd of="$out/worse" bs=1 seek=$((1048576 + 100)) conv=notrunc status=none
cp "$out/worse" "$out/empty"
dd if=/dev/zero of="$out/empty" bs=1M seek=1 count=1 conv=notrunc status=none
raw() { guest "$1" "$2" "$3" "$out/$4" $nvme && says "$1" "$5"; }
check image-raw raw image-raw 33 '' raw "$said"
check image-damaged raw image-damaged 35 '' damaged '/nvme0p1/sample.gguf  NOT as in the manifest'
check image-worse raw image-worse 35 run=verify worse 'nvme0p1: the manifest is damaged'
check image-empty raw image-empty 35 run=verify empty 'nvme0p1: the manifest is missing; what is there is raw'
unlisted() {
    "$B/leat" image --list "$out/worse" > "$out/$1.log" 2>&1
    [ $? = 1 ] && says "$1" 'the manifest is damaged'
}
check image-unlisted unlisted image-unlisted

finish
status=$?
rm -f "$out/disk" "$out/big" "$out/one" "$out/two" "$out/raw" "$out/damaged" "$out/worse" "$out/empty"
exit $status
