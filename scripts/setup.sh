#!/usr/bin/env bash
# setup.sh [all|boot]: installs what is missing of what the build needs (a C compiler, make, binutils, liburing); with `all` also
# what `make check-all` needs (clang, valgrind, the sanitizers, compilers for other architectures and an emulator). Does nothing,
# and needs no network, where all of it is there.
set -u
missing=() wished=()
want() { command -v "$1" > /dev/null || missing+=("$2"); }

command -v "${CC:-gcc}" > /dev/null || command -v clang > /dev/null || missing+=(gcc libc6-dev)
want make make
want ar binutils
# Asynchronous reads; without it leat is built too, and reads with threads.
[ -e /usr/include/liburing.h ] || missing+=(liburing-dev)
if [ "${1-}" = all ]; then
    want clang clang
    want valgrind valgrind
    # Other architectures, and an emulator to run them (tests/isa).
    want qemu-aarch64 qemu-user
    for arch in aarch64:arm64 riscv64:riscv64; do
        [ "$(uname -m)" = "${arch%:*}" ] && continue
        want "${arch%:*}-linux-gnu-gcc" "gcc-${arch%:*}-linux-gnu"
        [ -e "/usr/${arch%:*}-linux-gnu/lib/libc.a" ] || missing+=("libc6-dev-${arch#*:}-cross")
    done
    # File systems to stream from, where they can be mounted; without these a suite skips them.
    if [ "$(id -u)" = 0 ] && [ -e /dev/loop-control ]; then
        [ -e /usr/sbin/mkfs.xfs ] || [ -e /sbin/mkfs.xfs ] || wished+=(xfsprogs)
        [ -e /usr/sbin/mkfs.btrfs ] || [ -e /sbin/mkfs.btrfs ] || wished+=(btrfs-progs)
    fi
    /usr/bin/python3 -c "import jinja2" 2> /dev/null || missing+=(python3-jinja2) # the peer of chat templates
    # The sanitizer and fuzzer libraries of clang are a package of their own, one for each version.
    if ! command -v clang > /dev/null; then
        missing+=(libclang-rt-dev)
    elif [ ! -e "$(clang -print-runtime-dir)/libclang_rt.fuzzer-$(uname -m).a" ]; then
        missing+=("libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev")
    fi
fi
if [ "${1-}" = all ] || [ "${1-}" = boot ]; then
    # The bootable image: what it is made with, and machines to try it in.
    want clang clang
    want lld-link lld
    want xorriso xorriso
    want mcopy mtools
    want cpio cpio
    want modinfo kmod
    want grub-mkimage grub-common
    [ -e /usr/lib/grub/i386-pc/boot_hybrid.img ] || missing+=(grub-pc-bin)
    [ -e /usr/lib/grub/x86_64-efi/multiboot2.mod ] || missing+=(grub-efi-amd64-bin)
    want qemu-system-x86_64 qemu-system-x86
    [ -e /usr/share/ovmf/OVMF.fd ] || missing+=(ovmf)
    # Disks to read: made by others than us. Both are in folders that not every PATH has.
    [ -e /usr/sbin/mke2fs ] || [ -e /sbin/mke2fs ] || missing+=(e2fsprogs)
    [ -e /usr/sbin/sgdisk ] || [ -e /sbin/sgdisk ] || missing+=(gdisk)
fi
[ $((${#missing[@]} + ${#wished[@]})) = 0 ] && exit 0

if ! command -v apt-get > /dev/null; then
    [ ${#missing[@]} = 0 ] && exit 0
    echo "missing: ${missing[*]} (names of Debian packages); please install them and try again" >&2
    exit 1
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
install() {
    [ $# = 0 ] && return
    echo "installing with apt-get: $*"
    $sudo apt-get install -y --no-install-recommends "$@" > /dev/null 2>&1 && return
    $sudo apt-get update > /dev/null && $sudo apt-get install -y --no-install-recommends "$@"
}
install "${wished[@]}" || echo "not to be had, and not needed: ${wished[*]}"
install "${missing[@]}"
