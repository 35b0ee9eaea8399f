#!/usr/bin/env bash
# group2.sh: leat in control groups of version 2, as nested groups, changing limits and pressure are there, whatever the machine has
# that this runs on: Debian's kernel and busybox in an emulated machine, whose first process is group2.init. Also io_uring forbidden,
# direct reads of an ext4 of its own, and an end at any moment. Wants B, the build folder. Skipped where a package is not to be had.
set -u
out=$B/test-files/group2 packages=$B/group2
rm -rf "$out" && mkdir -p "$out/root"/{bin,models,proc,sys,dev,disk,work} "$out/files" "$packages"
export PATH=$PATH:/usr/sbin:/sbin
skip() {
    echo "skip group2: $1"
    echo "0 passed, 0 failed"
    exit 0
}

# The newest kernel there is, since older ones cannot forbid io_uring; else the usual one.
newest() { apt-cache depends "$1" 2> /dev/null | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -1; }
kernel=${LINUX_PACKAGE:-$(newest linux-image-6.12-cloud-amd64)}
LINUX_PACKAGE=$kernel DRIVERS='virtio_pci virtio_blk' scripts/linux-image.sh "$packages" "$B/leat" /dev/null > "$out/log" 2>&1 ||
    skip "no kernel: $(tail -1 "$out/log")"
busybox=$packages/bin/busybox
[ -e "$busybox" ] || (cd "$packages" && rm -f busybox*.deb && apt-get download busybox-static > /dev/null && dpkg -x busybox*.deb .) \
    2> "$out/log" || skip "no busybox-static: $(tail -1 "$out/log")"

# What it says elsewhere, with the instructions that the guest has.
"$B/boot-model" "$out/files/big-00001-of-00003.gguf" &&
    "$B/leat" run "$out/files/big-00001-of-00003.gguf" -p 'Once upon' --temp 0 -c 4000 --ignore-eos -n 3900 --isa avx2 -q > "$out/root/wanted"
truncate -s 200M "$out/disk"
mke2fs -q -F -t ext4 -b 4096 -N 64 -m 0 -d "$out/files" "$out/disk"
rm -r "$out/files"

cp -r "$packages/root/drivers" "$busybox" tests/boot/group2.init "$out/root"
mv "$out/root/group2.init" "$out/root/init"
mv "$out/root/busybox" "$out/root/bin"
strip -o "$out/root/leat" "$B/leat"
for library in $(ldd "$B/leat" | grep -o '/[^ ]*'); do cp --parents -L "$library" "$out/root"; done
(cd "$out/root" && find . | cpio --quiet -o -H newc) > "$out/initrd"
timeout -k 5 400 qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max -m 512M -smp 2 -display none -serial stdio -monitor none \
    -nic none -no-reboot -kernel "$packages/vmlinuz" -initrd "$out/initrd" -append 'console=ttyS0 quiet psi=1 panic=-1' \
    -drive "file=$out/disk,format=raw,if=virtio" < /dev/null 2> "$out/log.err" | tr -d '\r' > "$out/log"
rm -f "$out/disk" "$out/initrd"
passed=$(grep -c '^ok ' "$out/log") failed=$(grep -c '^FAIL ' "$out/log")
grep -q '^the end' "$out/log" || failed=$((failed + 1))
grep '^skip ' "$out/log"
[ "$failed" = 0 ] || { cat "$out/log.err"; tail -n 60 "$out/log"; }
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
