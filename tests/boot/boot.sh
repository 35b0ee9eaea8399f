#!/usr/bin/env bash
# boot.sh: the bootable image in emulated machines: every way to boot, sizes of memory and numbers of cores, what the model
# computes there, faults, the watchdog, power-off, keys. Wants B, the build folder.
set -u
out=$B/test-files/boot
rm -rf "$out" && mkdir -p "$out"
. tests/boot/lib.sh
uefi=/usr/share/ovmf/OVMF.fd

# ---- the same bits as without it -----------------------------------------------------------------------

$B/leat fingerprint sample/sample.gguf --isa avx2 > "$out/hosted" || echo "leat fingerprint failed"
same_bits() { tr -d '\r' < "$out/$1.log" | grep -E '^(tokens|logits) ' | cmp - "$out/hosted"; }
answers() { pvh "$1" 'run="fingerprint --isa avx2" then=exit' && same_bits "$1"; }
for cores in 1 2 4; do check "bits-$cores" answers "bits-$cores"; done
all_compute() { pvh "$1" 'io-core=off run="fingerprint --isa avx2" then=exit' && same_bits "$1"; }
check bits-all-compute all_compute bits-all-compute
cores=1
# A processor without AVX, RDRAND and pages of 1 GiB.
old_processor() {
    $B/leat fingerprint sample/sample.gguf --isa scalar > "$out/scalar" &&
        pvh "$1" 'run=fingerprint then=exit' -cpu qemu64 &&
        tr -d '\r' < "$out/$1.log" | grep -E '^(tokens|logits) ' | cmp - "$out/scalar"
}
check old-processor old_processor old-processor

# ---- memory and cores ----------------------------------------------------------------------------------

starts() { pvh "$1" 'run=status then=exit' && says "$1" "cores     $cores of"; }
for memory in 512M 3G 8G; do
    for cores in 1 2 4 8; do check "start-$memory-$cores" starts "start-$memory-$cores"; done
done
cores=1 memory=2G
usable() {
    ends_well "$1" -kernel "$B/leat.elf" -append 'on-panic=exit run=mem then=exit' &&
        sed -n 's/^free .*(\([0-9.]*\) %).*/\1/p' "$out/$1.log" | awk '{ share = $1 } END { exit !(share >= 98) }'
}
check usable usable usable
small() { [ "$(wc -c < "$B/leat.elf")" -lt 2000000 ]; }
check small small
# Below it all: kernel/, plat/bare and the prompt, without comments, blank lines and tables of data.
few_lines() {
    local lines
    lines=$(find kernel src/plat/bare src/hosted \( -path 'kernel/*.[chS]' -o -path '*/plat/bare/*' -o -path '*/hosted/*bare*' \) \
        -type f ! -name '*_tables.c' -exec perl -0pe 's!/\*.*?\*/!!gs' {} + | grep -c '[^[:space:]]')
    echo "$lines lines" && [ "$lines" -gt 4000 ] && [ "$lines" -lt 6000 ]
}
check few-lines few_lines few-lines
memory=1G

# ---- six ways to boot ----------------------------------------------------------------------------------

machine=microvm
check pvh-microvm answers pvh-microvm
machine=q35
check pvh-q35 answers pvh-q35

echo 'run="fingerprint --isa avx2" then=exit on-panic=exit' > "$out/conf"
kernel/iso.sh "$out/leat.iso" "$B/leat.elf" "$B/bootx64.efi" "$out/conf" sample/sample.gguf 2> "$out/iso.err" || cat "$out/iso.err"
# by NAME LOADER ARGUMENT...: it computes the same, and says what started it.
by() { ends_well "$1" "${@:3}" && says "$1" "leat by $2" && same_bits "$1"; }
usb=(-device qemu-xhci -device "usb-storage,drive=d" -drive "file=$out/leat.iso,format=raw,if=none,id=d,readonly=on")
check grub-bios-cd by grub-bios-cd multiboot2 -cdrom "$out/leat.iso"
check grub-bios-disk by grub-bios-disk multiboot2 -drive "file=$out/leat.iso,format=raw,snapshot=on"
check grub-bios-usb by grub-bios-usb multiboot2 "${usb[@]}"
check uefi-cd by uefi-cd UEFI -bios $uefi -cdrom "$out/leat.iso"
check uefi-usb by uefi-usb UEFI -bios $uefi "${usb[@]}"

# GRUB under UEFI, from a FAT volume that has it in place of our loader.
grub_uefi() {
    local fat=$out/grub.img
    printf '%s\n' 'search.file /leat.elf root' 'multiboot2 /leat.elf run="fingerprint --isa avx2" then=exit on-panic=exit' \
        'module2 /sample.gguf sample.gguf' boot > "$out/grub.cfg"
    grub-mkimage -O x86_64-efi -p / -c "$out/grub.cfg" -o "$out/grub.efi" part_gpt fat search_fs_file multiboot2 efi_gop boot &&
        truncate -s 16M "$fat" && mformat -i "$fat" -h 16 -s 32 -T 32768 :: && mmd -i "$fat" ::/EFI ::/EFI/BOOT &&
        mcopy -i "$fat" "$out/grub.efi" ::/EFI/BOOT/BOOTX64.EFI &&
        mcopy -i "$fat" "$B/leat.elf" sample/sample.gguf ::/ &&
        by "$1" multiboot2 -bios $uefi -drive "file=$fat,format=raw,snapshot=on"
}
check grub-uefi grub_uefi grub-uefi

# ---- models: of a disk, into memory, and as written down ---------------------------------------------------

# Two models on an ext4, a.gguf with what it computes, b.gguf with something else.
mkdir "$out/files"
cp sample/sample.gguf "$out/files/a.gguf"
cp sample/sample.gguf "$out/files/b.gguf"
$B/leat fingerprint sample/sample.gguf --isa avx2 > "$out/files/a.gguf.ref"
sed 's/^tokens [0-9]*/tokens 1/' "$out/files/a.gguf.ref" > "$out/files/b.gguf.ref"
truncate -s 32M "$out/models.ext4"
PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F -t ext4 -b 4096 -d "$out/files" "$out/models.ext4"
said=$($B/leat run sample/sample.gguf -p 'Once upon' -n 12 --temp 0 --isa avx2 -q | head -1)
ask="run=\"run -p 'Once upon' -n 12 --temp 0 --isa avx2 -q\""
# models NAME STATUS OPTIONS TEXT...: a machine with that disk alone ends with STATUS, and these are lines of its log.
models() {
    local name=$1 text
    qemu "$name" -no-reboot -kernel "$B/leat.elf" -append "on-panic=exit $3 then=exit" \
        -drive "file=$out/models.ext4,format=raw,if=virtio,snapshot=on"
    local status=$?
    [ $status = "$2" ] || { echo "status $status, wanted $2"; return 1; }
    for text in "${@:4}"; do says "$name" "$text" || return 1; done
}
check load models load 33 "run=\"load b.gguf\" run=config $ask run=status run=unload run=status run=\"load a.gguf\" $ask" \
    'b.gguf is in memory' 'module b.gguf' "$said" 'model     b.gguf' 'model     none' 'a.gguf is in memory'
check switch models switch 33 "run=\"switch b.gguf\" run=status $ask" 'model     b.gguf' "$said"
check switch-nothing models switch-nothing 35 'run="switch c.gguf" run=status' 'c.gguf: no such file' 'model     /disk0/a.gguf'
check unload-nothing models unload-nothing 35 'run="unload b.gguf"' 'b.gguf: not in memory'
check validate models validate 33 'run="validate a.gguf"' 'as written down in a.gguf.ref'
check validate-other models validate-other 35 'run="validate b.gguf"' 'other tokens or logits were written down'

# The manifest of `leat image`, of a model as it is and with one byte changed.
manifest() { # NAME STATUS TEXT
    $B/leat image sample/sample.gguf -o "$out/$1.img" --raw || return 1
    [ "$2" = 33 ] || printf x | dd of="$out/$1.img" bs=1 seek=$((3 * 1048576 + 4000000)) conv=notrunc status=none
    qemu "$1" -no-reboot -kernel "$B/leat.elf" -append 'on-panic=exit run=validate then=exit' \
        -drive "file=$out/$1.img,format=raw,if=virtio,snapshot=on"
    [ $? = "$2" ] && says "$1" "$3"
}
check validate-manifest manifest validate-manifest 33 'has its SHA-256 in the manifest'
check validate-damaged manifest validate-damaged 35 'HAS NOT its SHA-256 in the manifest'

# ---- faults --------------------------------------------------------------------------------------------

# on-panic=exit leaves with code 32: 65.
faults() {
    qemu "$1" -no-reboot -kernel "$B/leat.elf" -append "on-panic=exit run=\"fault $2\" then=exit"
    [ $? = 65 ] && says "$1" "EXCEPTION $3" && says "$1" "$4" && says "$1" "rip 0"
}
check fault-read faults fault-read read '14 (page fault)' 'at fault_run+0x'
check fault-write faults fault-write write '14 (page fault)' 'not permitted'
check fault-run faults fault-run run '14 (page fault)' 'execution of'
check fault-opcode faults fault-opcode opcode '6 (invalid opcode)' 'at fault_run+0x'
check fault-stack faults fault-stack stack '14 (page fault)' 'at recurse'

# What follows an exception: with reboot the machine starts again, where -no-reboot ends it; with halt it stays, having said so.
reboots() {
    qemu "$1" -no-reboot -kernel "$B/leat.elf" -append 'on-panic=reboot run="fault opcode" then=exit'
    [ $? = 0 ] && says "$1" 'EXCEPTION 6' && grep -A 60 'EXCEPTION 6' "$out/$1.log" | grep -q 'reboot'
}
check panic-reboot reboots panic-reboot
halts() {
    : > "$out/$1.log"
    timeout -k 5 150 qemu-system-x86_64 -M q35 -accel tcg,thread=single -cpu max -m 1G -display none -serial stdio -monitor none \
        -nic none -no-reboot -kernel "$B/leat.elf" -append 'on-panic=halt run="fault opcode" then=exit' < /dev/null > "$out/$1.log" &
    local guest=$! status=1
    wait_for_line "$out/$1.log" 'halted; ' && kill $guest && status=0 # it was there to be ended
    wait $guest
    return $status
}
check panic-halt halts panic-halt

# No -no-reboot from here on: a machine that faulted three times would start again and again, and never end.
hangs() {
    qemu "$1" -kernel "$B/leat.elf" -append 'run="fault hang" watchdog=2 then=exit'
    [ $? = 33 ] && says "$1" 'the watchdog rebooted this machine'
}
cores=2
check watchdog hangs watchdog
off() {
    qemu "$1" -kernel "$B/leat.elf" -append 'then=shutdown'
    [ $? = 0 ] && says "$1" 'power off' && ! says "$1" 'does not power off' > /dev/null
}
check power-off off power-off

# ---- keys ----------------------------------------------------------------------------------------------

# Typed on the keyboard of a machine with a screen; what it shows, it shows on the serial line too.
types() {
    local log=$out/$1.log keys=$out/keys
    rm -f "$keys" "$log"
    mkfifo "$keys"
    : > "$log"
    timeout 150 qemu-system-x86_64 -M q35 -accel tcg,thread=single -cpu max -m 1G -display none -serial "file:$log" -nic none \
        -monitor stdio -cdrom "$out/typed.iso" < "$keys" > /dev/null 2>&1 &
    local guest=$! status=1
    exec 3> "$keys"
    if wait_for_line "$log" 'lists the commands'; then
        for k in shift-l backspace s t a t u s s backspace ret; do echo "sendkey $k 10" >&3; sleep 0.2; done
        wait_for_line "$log" 'console   serial and screen' && status=0
        echo "screendump $out/screen.ppm" >&3
    fi
    echo quit >&3
    exec 3>&-
    wait $guest
    return $status
}
kernel/iso.sh "$out/typed.iso" "$B/leat.elf" "$B/bootx64.efi" /dev/null sample/sample.gguf 2> "$out/iso.err" || cat "$out/iso.err"
check keys types keys

finish
