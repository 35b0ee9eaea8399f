# symbols.awk: `nm -n leat.elf` to assembly: the table that kernel_symbol searches. Offsets are from boot_image, the first address.
BEGIN { print "    .section .symbols, \"a\"" }
$2 ~ /^[tT]$/ && $3 !~ /^\./ && $3 != "kernel_rodata" && $3 != last {
    if (base == "") base = $1
    printf "    .long 0x%s - 0x%s, n%d - kernel_names\n", $1, base, n
    names[n++] = last = $3
}
END {
    print "    .section .rodata\n    .globl kernel_names\nkernel_names:"
    for (i = 0; i < n; i++) printf "n%d: .asciz \"%s\"\n", i, names[i]
}
