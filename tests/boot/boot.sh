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

# From power-on to READY less than 0.3 s, firmware included, on a machine that does an instruction in four nanoseconds: QEMU
# counts them, so that it does not matter what else runs here.
soon() {
    ends_well "$1" -icount shift=2,sleep=off -kernel "$B/leat.elf" -append 'on-panic=exit then=exit' &&
        sed -n 's/.* \([0-9.]*\) s after power-on.*/\1/p; s/^\[\([0-9.]*\)\] READY.*/\1/p' "$out/$1.log" |
        awk '{ sum += $1 } END { print NR, sum; exit !(NR == 2 && sum < 0.3) }'
}
for machine in microvm q35; do check "soon-$machine" soon "soon-$machine"; done

# ---- six ways to boot ----------------------------------------------------------------------------------

machine=microvm
check pvh-microvm answers pvh-microvm
machine=q35
check pvh-q35 answers pvh-q35

echo 'run="fingerprint --isa avx2" then=exit on-panic=exit' > "$out/conf"
kernel/iso.sh "$out/leat.iso" "$B/leat.elf" "$B/bootx64.efi" "$out/conf" sample/sample.gguf || echo "iso.sh failed"
# by NAME LOADER ARGUMENT...: it computes the same, and says what started it.
by() { ends_well "$1" "${@:3}" && says "$1" "leat by $2" && same_bits "$1"; }
# Disks and sticks are larger than what was written to them.
cp "$out/leat.iso" "$out/leat.disk"
truncate -s +64M "$out/leat.disk"
disk=(-drive "file=$out/leat.disk,format=raw,if=none,id=d,snapshot=on" -device)
for firmware in 'grub-bios multiboot2' "uefi UEFI -bios $uefi"; do
    set -- $firmware
    check "$1-cd" by "$1-cd" "${@:2}" -cdrom "$out/leat.iso"
    check "$1-usb" by "$1-usb" "${@:2}" -device qemu-xhci "${disk[@]}" usb-storage,drive=d
    check "$1-sata" by "$1-sata" "${@:2}" "${disk[@]}" ide-hd,drive=d
    check "$1-nvme" by "$1-nvme" "${@:2}" "${disk[@]}" nvme,serial=1,drive=d
    check "$1-virtio" by "$1-virtio" "${@:2}" "${disk[@]}" virtio-blk-pci,drive=d
done
# Firmware that knows no CDs on disks looks for a system partition.
partition() {
    PATH=$PATH:/usr/sbin:/sbin sgdisk -v -p "$out/leat.iso" > "$out/$1.log" && says "$1" 'No problems found' &&
        says "$1" ' EF00 '
}
check partition partition partition

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
    [ $? = 65 ] && says "$1" "EXCEPTION $3" && says "$1" "$4" && says "$1" "rip 0" && says "$1" 'rax 0' &&
        says "$1" 'r15 0' 
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
    qemu "$1" -kernel "$B/leat.elf" -append "run=\"fault $2\" watchdog=$3 then=exit"
    [ $? = 33 ] && says "$1" 'the watchdog rebooted this machine'
}
cores=2
check watchdog hangs watchdog hang 2
check watchdog-core hangs watchdog-core core 1 # that another core does not come back is noticed after ten times as long
off() {
    qemu "$1" -kernel "$B/leat.elf" -append 'then=shutdown'
    [ $? = 0 ] && says "$1" 'power off' && ! says "$1" 'does not power off' > /dev/null
}
check power-off off power-off
again() { # -no-reboot ends it where it would start again
    qemu "$1" -no-reboot -kernel "$B/leat.elf" -append 'run=reboot then=exit'
    [ $? = 0 ] && says "$1" '] reboot'
}
check reboot again reboot

# ---- the console ---------------------------------------------------------------------------------------

# All commands that ask for nothing, each with a line that only it says.
commands() {
    local text all='run=help run=models run="load model.gguf" run="switch model.gguf" run=config run=mem run=memmap run=cpuid
        run=lspci run=lsblk run="blkperf /disk0 -n 1M" run="perf -n 4" run="deterministic on" run=status run="deterministic off"
        run="bench -p 8 -n 4 -r 1 -t 1" run=net run=ip run=ss run="ping 10.0.2.2" run=dmesg run=uptime run="watchdog 300" run=clear'
    pvh "$1" "$all then=exit" -drive "file=$out/models.ext4,format=raw,if=virtio,snapshot=on" \
        -netdev user,id=n -device virtio-net-pci,netdev=n || return 1
    for text in 'usage: leat COMMAND' 'model.gguf  (in use)' 'model.gguf is in memory' 'module model.gguf' 'RAM       ' \
        'kernel and modules' 'avx2' 'host bridge' '/disk0 ' '32 reads of 1048576 bytes at a time' '4 tokens: p50' \
        'on: cores that wait spin' '64 tokens: p50' 'mode      deterministic' 'off: cores that wait halt' 'pp8' \
        'from DHCP' 'state         port' '10.0.2.2: ' 'leat by PVH' '0:0' 'reboots after 300 s'; do
        says "$1" "$text" || return 1
    done
}
check commands commands commands

# Typed on the serial line: a typo and its hint, editing, history, a talk that says what it says in the Linux program.
printf 'Once upon a time\n' | $B/leat chat sample/sample.gguf --temp 0 -n 8 --isa avx2 > "$out/talk" 2> /dev/null
typed() {
    local log=$out/$1.log guest status=1
    mkfifo "$out/typed"
    : > "$log"
    input=$out/typed qemu "$1" -no-reboot -kernel "$B/leat.elf" -initrd sample/sample.gguf -append on-panic=exit &
    guest=$!
    exec 3> "$out/typed"
    # Each line is typed when the prompt is there for it.
    wait_for_line "$log" 'lists the commands' && printf 'statsu\r' >&3 &&
        wait_for_line "$log" "did you mean 'status'" && printf 'utime\e[D\e[D\e[D\e[Dp\x05x\x7f\r' >&3 &&
        wait_for_line "$log" '0:0' && printf '\e[A\r' >&3 &&
        wait_for_line "$log" '0:0' 2 && printf 'chat --temp 0 -n 8 --isa avx2\r' >&3 &&
        wait_for_line "$log" '/help lists the commands' && printf 'Once upon a time\r' >&3 &&
        wait_for_line "$log" "$(head -1 "$out/talk")" && wait_for_line "$log" $'\e[?2004h' 6 && printf '/exit\r' >&3 &&
        wait_for_line "$log" $'\e[?2004h' 7 && printf 'shutdown\r' >&3 && wait_for_line "$log" 'power off' && status=0
    exec 3>&-
    wait $guest || status=1
    return $status
}
check typed typed typed

# While an answer is computed others are answered, which say that it is: the core that has the network, or the only one, sees
# to them in between. An answer that has ended meanwhile says nothing, and is asked for again.
get() { # PATH: the answer
    { exec 5<> "/dev/tcp/127.0.0.1/$port" && printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&5 && timeout 60 cat <&5; } 2> /dev/null
}
serves() {
    local log=$out/$1.log guest port line status=1
    local ask='{"prompt":"Once upon","n_predict":1000,"ignore_eos":true,"stream":true}'
    port=$(free_port)
    qemu "$1" -no-reboot -kernel "$B/leat.elf" -initrd sample/sample.gguf -append 'on-panic=exit run="serve --port 80"' \
        -device virtio-net-pci,netdev=n -netdev "user,id=n,hostfwd=tcp:127.0.0.1:$port-:80" -pidfile "$out/$1.pid" &
    guest=$!
    until grep -q '"ok"' <<< "$(get /health)"; do
        kill -0 $guest 2> /dev/null || return 1
        sleep 0.2
    done
    for ((i = 0; i < 20 && status; i++)); do
        exec 4<> "/dev/tcp/127.0.0.1/$port"
        printf 'POST /completion HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s' ${#ask} "$ask" >&4
        while read -r -t 60 line <&4; do [[ $line = data:* ]] && break; done
        grep -q '"ok"' <<< "$(get /health)" && grep -q '"is_processing": *true' <<< "$(get /slots)" && status=0
        exec 4>&-
    done
    [ $status = 0 ] || get /slots
    kill "$(< "$out/$1.pid")"
    wait $guest
    return $status
}
for cores in 1 2 4; do check "serves-$cores" serves "serves-$cores"; done
cores=1

# Typed on the keyboard of a machine with a screen that a stick started: what the screen says is read from its picture.
kernel/iso.sh "$out/typed.iso" "$B/leat.elf" "$B/bootx64.efi" /dev/null sample/sample.gguf || echo "iso.sh failed"
press() { # a key, or some together; until something new is shown
    local before keys
    before=$(wc -c < "$log") keys=$(printf ',{"type":"qcode","data":"%s"}' "$@")
    echo "{\"execute\":\"send-key\",\"arguments\":{\"keys\":[${keys:1}]}}" >&3
    for ((i = 0; i < 1200; i++)); do
        [ "$(wc -c < "$log")" -gt "$before" ] && return
        sleep 0.1
    done
    return 1
}
keys() { # NAME QEMU-ARGUMENT...
    local log=$out/$1.log key guest status=1 text
    mkfifo "$out/$1.qmp"
    : > "$log"
    timeout 150 qemu-system-x86_64 -M q35 -accel tcg,thread=single -cpu max -m 1G -display none -serial "file:$log" -nic none \
        -monitor none -qmp stdio -device qemu-xhci -drive "file=$out/typed.iso,format=raw,if=none,id=d,readonly=on" \
        -device usb-storage,drive=d "${@:2}" < "$out/$1.qmp" > "$out/$1.answers" 2>&1 &
    guest=$!
    exec 3> "$out/$1.qmp"
    echo '{"execute":"qmp_capabilities"}' >&3
    if wait_for_line "$log" 'lists the commands'; then
        press shift l
        for key in backspace s t a t u s s backspace ret; do press "$key" || break; done
        wait_for_line "$log" $'\e[?2004h' 2 # the prompt is there again
        echo "{\"execute\":\"screendump\",\"id\":\"picture\",\"arguments\":{\"filename\":\"$(realpath "$out")/$1.ppm\"}}" >&3
        wait_for_line "$out/$1.answers" '"picture"' && "$B/boot-screen" < "$out/$1.ppm" > "$out/$1.screen" && status=0
    fi
    echo '{"execute":"quit"}' >&3
    exec 3>&-
    wait $guest
    for text in '> status' 'console   serial and screen' 'model     sample.gguf' 'watchdog  120 s' \
        'leat: `help` lists the commands, `chat` talks with the model'; do
        [ $status = 0 ] && ! grep -qxF -- "$text" "$out/$1.screen" && { cat "$out/$1.screen"; return 1; }
    done
    return $status
}
check keys-bios keys keys-bios
check keys-uefi keys keys-uefi -bios $uefi

finish
