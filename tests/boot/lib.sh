# lib.sh: what the tests of the bootable image share. Source it with $B (the build folder) and $out (for what they write) set.
# A machine passes when it ends by isa-debug-exit with code 16, which QEMU makes 33 of; a triple fault would be 0.
passed=0 failed=0
memory=1G cores=1 machine=q35 seconds=120

# check NAME COMMAND...: runs it beside others, as many at a time as there are cores: a guest of emulated cores keeps one busy.
# What the command changes, only it sees. $out/times says how long each took. ONLY=REGEX leaves out what it does not match.
slots=$(nproc) slots=$((slots > 4 ? 4 : slots))
names=()
check() {
    [[ $1 =~ ${ONLY-} ]] || return
    while [ "$(jobs -rp | wc -l)" -ge $slots ]; do wait -n; done
    names+=("$1")
    judge "$@" > "$out/$1.verdict" 2>&1 &
}
judge() {
    local name=$1 start=$SECONDS
    if "${@:2}"; then
        touch "$out/$name.passed"
    else
        echo "FAIL $name"
        [ -e "$out/$name.log" ] && tail -n 25 "$out/$name.log" | cut -c1-300 | sed 's/^/     /'
    fi
    echo "$((SECONDS - start)) s  $name" >> "$out/times"
}

# qemu NAME ARGUMENT...: runs it with $memory, $cores and $machine; its serial line comes from $input (/dev/null) and goes to
# $out/NAME.log. The status is QEMU's.
qemu() {
    local log=$out/$1.log
    shift
    timeout -k 5 "$seconds" qemu-system-x86_64 -M "$machine" -accel tcg,thread=single -cpu max -m "$memory" -smp "$cores" \
        -display none -serial stdio -monitor none -nic none -device isa-debug-exit,iobase=0xf4,iosize=4 "$@" \
        < "${input-/dev/null}" > "$log" 2> "$log.err"
}

# ends_well NAME ARGUMENT...: it was READY, and left with 33.
ends_well() {
    qemu "$1" -no-reboot "${@:2}"
    local status=$?
    [ $status = 33 ] && grep -q 'READY' "$out/$1.log" && return
    echo "status $status, wanted 33 after READY"
    cat "$out/$1.log.err"
    return 1
}

# says NAME TEXT: a line of its log, as it stands.
says() { grep -qF -- "$2" "$out/$1.log" || { echo "no line with: $2"; return 1; }; }

# Waits until a log has a line with this, or N of them.
wait_for_line() { # LOG TEXT [N]
    for ((i = 0; i < 1200; i++)); do
        [ "$(grep -acF -- "$2" "$1")" -ge "${3-1}" ] && return
        sleep 0.1
    done
    return 1
}

free_port() { # one that nobody listens at, and that no guest that starts beside this one is given
    local port
    for ((port = 20000 + BASHPID % 10000; ; port += 97)); do
        (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null || { echo "$port"; return; }
    done
}

# pvh NAME OPTIONS [ARGUMENT...]: QEMU's own loader, with the sample model as a module.
pvh() { ends_well "$1" -kernel "$B/leat.elf" -initrd sample/sample.gguf -append "on-panic=exit $2" "${@:3}"; }

finish() {
    local name
    wait
    for name in "${names[@]}"; do
        if [ -e "$out/$name.passed" ]; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            cat "$out/$name.verdict"
        fi
    done
    echo "$passed passed, $failed failed"
    [ $failed = 0 ]
}
