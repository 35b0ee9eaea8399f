#!/usr/bin/env bash
# guest.sh WORD...: B/leat, whose server is a guest: for tests that start a server, ask it and end it by SIGTERM (srv-check).
# `serve` boots a machine that runs the same command at port 80 and forwards a port to it; files that the command names go along
# on a disk. All else is B/leat at the guest's ISA. Wants B, and GUEST_DIR for its files. CARD and CORES may be set, and LINUX: then
# it is the neighbour (make linux-image).
set -u
if [ "$1" != serve ]; then
    exec "$B/leat" "$@" --isa avx2
fi
shift
dir=$(mktemp -d "$GUEST_DIR/guest.XXXXXX") || exit 1
port=0 guest=0
trap '[ $guest = 0 ] || kill -9 $guest 2> /dev/null; rm -rf "$dir/disk" "$dir/files"' EXIT

# The command as it is typed there. What the environment says here stands before the rest, which wins.
mkdir "$dir/files"
command=serve
add() { command+=" '$1'"; }
[ -z "${LEAT_ALIAS-}" ] || command+=" --alias '$LEAT_ALIAS'"
[ -z "${LEAT_API_KEY-}" ] || command+=" --api-key '$LEAT_API_KEY'"
while [ $# != 0 ]; do
    if [ "$1" = --port ]; then
        shift
    elif [ -f "$1" ]; then
        cp "$1" "$dir/files" && add "${1##*/}"
    else
        add "$1"
    fi
    shift
done
for ((port = 30000 + BASHPID % 10000; ; port += 97)); do
    (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null || break
done
command+=' --port 80'
if [ "${LINUX-}" ]; then
    wanted=0
    { cat "$B/linux/initrd" && (cd "$dir/files" && find . | cpio --quiet -o -H newc); } > "$dir/disk"
    machine=(-kernel "$B/linux/vmlinuz" -initrd "$dir/disk" -append "console=ttyS0 quiet run=\"$command\" then=shutdown")
else
    wanted=33
    truncate -s 24M "$dir/disk"
    PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F -t ext4 -b 4096 -m 0 -O ^has_journal -d "$dir/files" "$dir/disk" || exit 1
    machine=(-kernel "$B/leat.elf" -append "on-panic=exit run=\"$command\" then=exit" -drive "file=$dir/disk,format=raw,if=virtio")
fi
mkfifo "$dir/keys"
exec 3<> "$dir/keys"
timeout -k 5 "${GUEST_SECONDS:-900}" qemu-system-x86_64 -M q35 -accel tcg,thread=single -cpu max -m 1G -smp "${CORES:-1}" -display none \
    -serial mon:stdio -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4 "${machine[@]}" \
    -netdev "user,id=n,hostfwd=tcp:127.0.0.1:$port-:80" -device "${CARD:-virtio-net-pci},netdev=n" \
    < "$dir/keys" > "$dir/log" 2> "$dir/log.err" &
guest=$!
end() { # nobody new is let in, as where the port is the server's own; then Ctrl-C, between two commands for QEMU's monitor
    printf '\001chostfwd_remove n tcp:127.0.0.1:%s\n\001c\003' "$port" >&3
}
trap end TERM
while kill -0 $guest 2> /dev/null; do
    [ -n "$({ exec 4<> "/dev/tcp/127.0.0.1/$port" && printf 'GET /health HTTP/1.0\r\n\r\n' >&4 && timeout 2 head -1 <&4; } \
        2> /dev/null)" ] && grep -q 'context ' "$dir/log" && break
    sleep 0.2
done
tr -d '\r' < "$dir/log" | sed "s|http://[^ ]*|http://127.0.0.1:$port|" >&2
status=143
while [ $status = 143 ]; do
    wait $guest
    status=$?
done
[ $status = $wanted ] || { echo "the guest ended with $status, wanted $wanted"; tail -5 "$dir/log"; cat "$dir/log.err"; } >&2
guest=0
exit $((status != wanted))
