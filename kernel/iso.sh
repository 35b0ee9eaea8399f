#!/bin/sh
# iso.sh OUT KERNEL LOADER OPTIONS-FILE MODEL...: the image that boots as CD, disk or stick, under BIOS and UEFI.
#
# efi.img is a FAT volume with all files: leat/leat.elf, leat/leat.conf, the models, and EFI/BOOT/BOOTX64.EFI. UEFI starts
# from it; GRUB's core, which BIOS starts, looks into it. No times of today in it: the same files make the same bytes.
set -eu
out=$1 kernel=$2 loader=$3 options=$4 # a file of options
shift 4
dir=$out.dir
rm -rf "$dir"
mkdir -p "$dir/boot"
export SOURCE_DATE_EPOCH=1700000000 MTOOLS_SKIP_CHECK=1

bytes=0
for f in "$kernel" "$loader" "$@"; do bytes=$((bytes + $(wc -c < "$f") + 4096)); done
conf=$out.conf
{
    cat "$options"
    for f in "$@"; do echo "module=$(basename "$f")"; done
} > "$conf"
truncate -s $(((bytes / 1048576 + 2) * 1048576)) "$dir/efi.img"
mformat -i "$dir/efi.img" -N 1ea71ea7 -v LEAT -c 4 -h 16 -s 32 -T $(((bytes / 1048576 + 2) * 2048)) ::
mmd -i "$dir/efi.img" ::/EFI ::/EFI/BOOT ::/leat
touch -d @$SOURCE_DATE_EPOCH "$conf"
mcopy -i "$dir/efi.img" "$loader" ::/EFI/BOOT/BOOTX64.EFI
mcopy -i "$dir/efi.img" "$kernel" ::/leat/leat.elf
mcopy -i "$dir/efi.img" "$conf" ::/leat/leat.conf
for f in "$@"; do mcopy -i "$dir/efi.img" "$f" "::/leat/$(basename "$f")"; done

# What GRUB's core does without asking.
{
    echo 'search.file /efi.img root'
    echo 'loopback l ($root)/efi.img'
    echo 'multiboot2 (l)/leat/leat.elf'
    echo 'module2 (l)/leat/leat.conf leat.conf'
    for f in "$@"; do echo "module2 (l)/leat/$(basename "$f") $(basename "$f")"; done
    echo 'boot'
} > "$out.grub"
grub-mkimage -O i386-pc-eltorito -p /boot -c "$out.grub" -o "$dir/boot/core.img" \
    biosdisk iso9660 part_gpt part_msdos fat loopback search_fs_file multiboot2 vbe boot
find "$dir" -exec touch -d @$SOURCE_DATE_EPOCH {} +
# As a disk it has a GPT, where efi.img is the system partition.
xorriso -as mkisofs -quiet -V LEAT -b boot/core.img -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info \
    --grub2-mbr /usr/lib/grub/i386-pc/boot_hybrid.img -eltorito-alt-boot -e efi.img -no-emul-boot -efi-boot-part \
    --efi-boot-image -o "$out" "$dir" 2> "$out.log" || { cat "$out.log" >&2; exit 1; }
rm -rf "$dir" "$out.log"
