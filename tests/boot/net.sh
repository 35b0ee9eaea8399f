#!/usr/bin/env bash
# net.sh: the network of the bootable image in QEMU: its cards, addresses, and `leat serve` in the guest as its clients see it
# through a forwarded port: the tests of tests/srv, a thousand requests of fifty connections that come and go, and the same over a
# cable that loses, doubles and delays frames, in a flood and among garbage. Wants B, the build folder.
set -u
out=$B/test-files/boot-net
rm -rf "$out" && mkdir -p "$out"
. tests/boot/lib.sh

# ---- cards and addresses -------------------------------------------------------------------------------

# card NAME MODEL OPTIONS TEXT...: it comes up, the gateway answers, and these are lines of the log.
card() {
    ends_well "$1" -kernel "$B/leat.elf" -append "on-panic=exit $3 run=ip run=\"ping 10.0.2.2\" run=net run=ss then=exit" \
        -netdev user,id=n -device "$2,netdev=n" -global virtio-mmio.force-legacy=$legacy && grep -q '^10.0.2.2: [0-9.]* ms' "$out/$1.log" || return 1
    local name=$1 text
    for text in "${@:4}"; do says "$name" "$text" || return 1; done
}
legacy=true
for model in virtio-net-pci e1000 e1000e; do
    check "card-$model" card "card-$model" $model '' 'address 10.0.2.15, mask 255.255.255.0, gateway 10.0.2.2, from DHCP'
done
machine=microvm
for legacy in true false; do
    check card-microvm-$legacy card card-microvm-$legacy virtio-net-device '' 'address 10.0.2.15, mask 255.255.255.0, gateway 10.0.2.2, from DHCP'
done
machine=q35
check fixed card fixed e1000e ip=10.0.2.77/24,10.0.2.2 'address 10.0.2.77, mask 255.255.255.0, gateway 10.0.2.2, fixed'
none() { # a ping that nobody answers has failed
    qemu "$1" -no-reboot -kernel "$B/leat.elf" -append 'on-panic=exit run=net run="ping 10.0.2.2" then=exit'
    [ $? = 35 ] && says "$1" 'no network card' && says "$1" '10.0.2.2: not supported'
}
check no-card none no-card

# ---- the server ----------------------------------------------------------------------------------------

# http NAME MODEL TESTS QEMU-ARGUMENT...: a guest that serves the model, and srv-check's tests of it; PORT in the arguments is the
# forwarded one.
http() {
    local name=$1 model=$2 tests=$3 log=$out/$1.log port guest status=1
    shift 3
    port=$(free_port)
    timeout -k 5 400 qemu-system-x86_64 -M q35 -accel tcg,thread=single -cpu max -m 1G -display none -serial stdio -monitor none \
        -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=4 -kernel "$B/leat.elf" -initrd "$model" -append \
        'on-panic=exit run="serve model.gguf --alias sample --port 80 -c 512 -t 1" then=exit' \
        "${@//PORT/$port}" < /dev/null > "$log" 2> "$log.err" &
    guest=$!
    # It serves as soon as somebody is answered: until then a forwarded connection is refused or ends.
    while kill -0 $guest 2> /dev/null; do
        [ -n "$({ exec 3<> "/dev/tcp/127.0.0.1/$port" && printf 'GET /health HTTP/1.0\r\n\r\n' >&3 &&
            timeout 2 head -1 <&3; } 2> /dev/null)" ] && break
        sleep 0.2
    done
    # shellcheck disable=SC2086
    "$B/srv-check" "$B/leat" "$model" "$out" "$port" isa=avx2 $tests > "$out/$name.tests" && status=0
    [ $status = 0 ] || cat "$out/$name.tests"
    kill $guest 2> /dev/null || { echo "the guest has ended"; status=1; }
    wait $guest 2> /dev/null
    return $status
}
by() { echo "-netdev user,id=n,hostfwd=tcp:127.0.0.1:PORT-:80 -device $1,netdev=n"; }

# A disk of `leat image` answers by itself, and only who knows the key.
ask() { # PORT HEADERS: the first line of the answer and all of it after
    { exec 3<> "/dev/tcp/127.0.0.1/$1" && printf 'POST /v1/completions HTTP/1.0\r\n%bContent-Length: %d\r\n\r\n%s' \
        "$2" ${#question} "$question" >&3 && timeout 60 cat <&3; } 2> /dev/null
}
question='{"prompt":"Once upon","max_tokens":12,"temperature":0}'
disk() {
    local port guest answer='' status=1
    port=$(free_port)
    "$B/leat" image sample/sample.gguf -o "$out/$1.img" --serve --api-key K1234 || return 1
    timeout -k 5 400 qemu-system-x86_64 -M q35 -accel tcg,thread=single -cpu max -m 1G -display none -serial stdio -monitor none \
        -no-reboot -drive "file=$out/$1.img,format=raw,if=virtio,snapshot=on" -device virtio-net-pci,netdev=n \
        -netdev "user,id=n,hostfwd=tcp:127.0.0.1:$port-:80" < /dev/null > "$out/$1.log" 2> "$out/$1.log.err" &
    guest=$!
    while kill -0 $guest 2> /dev/null; do
        answer=$(ask "$port" 'Authorization: Bearer K1234\r\n')
        [ -n "$answer" ] && break
        sleep 0.2
    done
    echo "with the key: $answer"
    case $answer in 'HTTP/1.'?' 200'*'"text":"'*)
        answer=$(ask "$port" '')
        echo "without: $answer"
        case $answer in 'HTTP/1.'?' 401'*) status=0 ;; esac ;;
    esac
    kill $guest
    wait $guest 2> /dev/null
    rm "$out/$1.img"
    return $status
}

# cable NAME MODEL TESTS RELAY-ARGUMENTS: the same behind a cable of tests/net/relay.c.
cable() {
    local ends=$out/$1.ends relay status
    mkdir "$ends"
    "$B/relay" "$ends" $4 > "$out/$1.relay" &
    relay=$!
    http "$1" "$2" "$3" \
        -netdev "dgram,id=g,local.type=unix,local.path=$ends/guest,remote.type=unix,remote.path=$ends/a" \
        -device virtio-net-pci,netdev=g,mac=52:54:00:12:34:56 \
        -netdev user,id=u,hostfwd=tcp:127.0.0.1:PORT-:80 -netdev hubport,id=h0,hubid=1,netdev=u \
        -netdev "dgram,id=s,local.type=unix,local.path=$ends/host,remote.type=unix,remote.path=$ends/b" \
        -netdev hubport,id=h1,hubid=1,netdev=s
    status=$?
    kill $relay
    wait $relay
    cat "$out/$1.relay"
    return $status
}
# The longest ones first.
check cable-bad cable cable-bad sample/sample.gguf 'small text' '20 20 2000 0 0'
# shellcheck disable=SC2046
{
    check http-many http http-many "$B/models/demo.gguf" 'tokens=2 many=1000' $(by virtio-net-pci)
    check http-virtio http http-virtio sample/sample.gguf 'small text http' $(by virtio-net-pci)
    check http-e1000 http http-e1000 sample/sample.gguf 'small http' $(by e1000)
    check http-e1000e http http-e1000e sample/sample.gguf 'small http' $(by e1000e)
    check disk disk disk
    check cable-flood cable cable-flood sample/sample.gguf 'small http' '0 0 0 1000 1000'
}

finish
