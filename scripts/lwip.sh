#!/usr/bin/env bash
# lwip.sh DIR: the TCP/IP stack of the bootable image, lwIP, as Debian's source package has it, unpacked as DIR/src. Does
# nothing where that is there. The archive comes through apt, from the mirror that this machine's apt knows, and is taken only
# with the SHA-256 below; where there is no apt, put it into DIR by hand. Debian's patches are not applied: they are for
# sockets, PPP and threads, none of which is built.
set -eu
version=2.1.3
archive=lwip_$version+dfsg1.orig.tar.xz
sha256=0a8276d09fc4e97bbba2f953d74af2388fc2195ea156be9d7589e297a68fde24
dir=${1:?usage: lwip.sh DIR}
[ -e "$dir/src/core/tcp.c" ] && exit 0
mkdir -p "$dir"
cd "$dir"

is_it() { [ -e "$archive" ] && echo "$sha256  $archive" | sha256sum --check --status; }

if ! is_it; then
    mirror=$(grep -rhoE '^[^#]*https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2> /dev/null |
        grep -oE 'https?://[^ ]+' | head -1) || true
    if [ -n "$mirror" ] && [ -x /usr/lib/apt/apt-helper ]; then
        echo "lwip: taking $archive from Debian's mirror"
        /usr/lib/apt/apt-helper download-file "${mirror%/}/pool/main/l/lwip/$archive" "$archive" "SHA256:$sha256" > lwip.log 2>&1 ||
            { tail -2 lwip.log >&2; true; }
    fi
    if ! is_it; then
        [ -e "$archive" ] && echo "lwip: $dir/$archive has another SHA-256, wanted $sha256" >&2
        echo "lwip: $dir/$archive is missing: Debian's source package lwip $version has it" >&2
        exit 1
    fi
fi
tar -xf "$archive"
rm -rf src
mv "lwip-$version/src" src
mv "lwip-$version/COPYING" COPYING
rm -rf "lwip-$version" pax_global_header
