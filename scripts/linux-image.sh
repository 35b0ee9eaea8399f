#!/usr/bin/env bash
# linux-image.sh OUT INIT OPTIONS-FILE MODEL...: Debian's Linux kernel and an initramfs with leat as its first process, as
# OUT/vmlinuz and OUT/initrd. For machines whose devices the bootable image has no driver for. LINUX_PACKAGE names
# another of Debian's kernels, DRIVERS other drivers (names of modules).
set -euo pipefail
out=$1 init=$2 options=$3
shift 3
drivers=${DRIVERS:-virtio_pci virtio_mmio virtio_blk virtio_net}
rm -rf "$out/root"
mkdir -p "$out/package" "$out/root"/{drivers,models,proc,sys,dev}

if [ -z "$(find "$out/package" -name 'vmlinuz-*' -print -quit)" ]; then
    package=${LINUX_PACKAGE:-$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -1)}
    [ -n "$package" ] || { echo "linux-image: apt-get update first: no kernel is known" >&2; exit 1; }
    (cd "$out/package" && apt-get download "$package" > /dev/null && dpkg -x ./*.deb .)
fi
cp "$(find "$out/package" -name 'vmlinuz-*' -print -quit)" "$out/vmlinuz"
modules=$(find "$out/package" -path '*/lib/modules/*' -maxdepth 4 -name '*amd64' -print -quit)

# A driver and, before it, all that it needs: what modinfo calls depends.
: > "$out/root/drivers/order"
add() {
    local file dependency
    grep -qx "$1.ko" "$out/root/drivers/order" && return
    file=$(find "$modules" -name "$1.ko*" -o -name "${1//_/-}.ko*" | head -1)
    [ -n "$file" ] || return 0 # built into the kernel
    for dependency in $(modinfo -F depends "$file" | tr ',-' ' _'); do add "$dependency"; done
    case $file in # newer kernels have them packed
        *.xz) xz -dc "$file" > "$out/root/drivers/$1.ko" ;;
        *) cp "$file" "$out/root/drivers/$1.ko" ;;
    esac
    echo "$1.ko" >> "$out/root/drivers/order"
}
for driver in $drivers; do add "$driver"; done

cp "$init" "$out/root/init"
cp "$options" "$out/root/leat.conf"
for model; do cp "$model" "$out/root/models/"; done
(cd "$out/root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc --reproducible) > "$out/initrd"
echo "$out/vmlinuz $(stat -c %s "$out/vmlinuz"), $out/initrd $(stat -c %s "$out/initrd") bytes"
