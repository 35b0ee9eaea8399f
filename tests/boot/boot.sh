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
for cores in 1 4; do check "bits-$cores" answers "bits-$cores"; done
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
wait_for_line() { # LOG TEXT
    for ((i = 0; i < 1200; i++)); do
        grep -qF -- "$2" "$1" && return
        sleep 0.1
    done
    return 1
}
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
