#!/usr/bin/env bash
# http.sh [lazy]: the tests of the server (tests/srv) unchanged, with a guest as the program that they start, ask and
# end (see guest.sh): those that take long in emulated machines, and the same for the Linux beside it. The longest,
# `lazy`, only as `make suite-boot-lazy`. Not `hanging`, whose prompt of 120,000 tokens is read in pieces of 512 that take
# an emulated core half a minute each, and more the longer it takes. Wants B, the build folder.
set -u
out=$B/test-files/boot-http
rm -rf "$out" && mkdir -p "$out"
. tests/boot/lib.sh

# guest NAME CARD CORES MODEL TEST...
guest() {
    GUEST_DIR=$out CARD=$2 CORES=$3 "$B/srv-check" tests/boot/guest.sh "$4" "$out" 0 "${@:5}" > "$out/$1.tests" 2>&1
    local status=$?
    [ $status = 0 ] || cat "$out/$1.tests"
    return $status
}
if [ "${1:-}" = lazy ]; then # 300 connections at once, opened one by one: two minutes
    check lazy guest lazy virtio-net-pci 1 sample/sample.gguf lazy
    finish
    exit
fi
check text guest text e1000e 2 sample/sample.gguf text http
check queue guest queue virtio-net-pci 1 sample/sample.gguf queue=150
check many guest many e1000e 4 "$B/models/demo.gguf" tokens=2 many=300
check keys guest keys e1000 1 sample/sample.gguf keys
# More options than fit into its memory for them are left out, and that is said.
options() {
    mkdir "$out/files"
    for ((i = 0; i < 900; i++)); do echo "key$i=value"; done > "$out/files/leat.conf"
    { cat "$B/linux/initrd" && (cd "$out/files" && find . | cpio --quiet -o -H newc); } > "$out/initrd"
    qemu "$1" -no-reboot -kernel "$B/linux/vmlinuz" -initrd "$out/initrd" -append 'console=ttyS0 quiet ip=none then=shutdown'
    says "$1" 'more than 8192 bytes of options' && says "$1" READY
}
check linux-options options linux-options
LINUX=1 check linux guest linux virtio-net-pci 1 sample/sample.gguf small http keys

finish
