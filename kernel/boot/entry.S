/* entry.S: where loaders jump to. PVH and multiboot2 arrive in 32-bit mode without paging, our UEFI loader in 64-bit mode.
 * The kernel may lie anywhere below 4 GiB: until boot_relocate has run nothing here uses an absolute address. Next: start.c.
 */
#define MULTIBOOT2 0xe85250d6
#define STACK_BYTES 262144

    .section .head, "ax"
    .globl boot_image
boot_image:
    .code64
    jmp boot_entry64 /* our UEFI loader enters at the first byte */
    .balign 8
multiboot:
    .long MULTIBOOT2, 0, multiboot_end - multiboot, -(MULTIBOOT2 + (multiboot_end - multiboot))
    /* Relocatable: anywhere from 2 MiB to 4 GiB, on 2 MiB, low by preference. */
    .balign 8
    .short 10, 0
    .long 24, 0x200000, 0xffffffff, 0x200000, 1
    /* A screen with 32 bits a pixel, if there is one. */
    .balign 8
    .short 5, 1
    .long 20, 1024, 768, 32
    .balign 8
    /* Modules on pages. */
    .short 6, 0
    .long 8
    .short 0, 0
    .long 8
multiboot_end:

    .section .head, "ax"
    .code32
    .globl boot_entry32
boot_entry32:
    cli
    cld
    movl %eax, %edi
    /* No stack yet: the second word of what the loader left (reserved, or a version) is room for one return address. */
    leal 8(%ebx), %esp
    call 1f
1:  popl %ebp
    leal (boot_image - 1b)(%ebp), %ebp
    leal (boot_stack_end - boot_image)(%ebp), %esp
    cmpl $0x36d76289, %edi
    je 2f
    movl (%ebx), %edi

    /* The first 4 GiB one to one, in pages of 2 MiB. */
2:  leal (boot_tables - boot_image)(%ebp), %esi
    leal 0x1003(%esi), %eax
    movl %eax, (%esi)
    leal 0x2003(%esi), %eax
    movl $0, %ecx
3:  movl %eax, 0x1000(%esi, %ecx, 8)
    addl $0x1000, %eax
    incl %ecx
    cmpl $4, %ecx
    jne 3b
    movl $0, %ecx
    movl $0x83, %eax
4:  movl %eax, 0x2000(%esi, %ecx, 8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $2048, %ecx
    jne 4b

    movl %cr4, %eax
    orl $0x620, %eax /* PAE, and SSE's state */
    movl %eax, %cr4
    movl %esi, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x900, %eax /* EFER: long mode, NX */
    wrmsr
    movl %cr0, %eax
    andl $~0xc, %eax
    orl $0x80000023, %eax
    movl %eax, %cr0
    leal (boot_gdt - boot_image)(%ebp), %eax
    movl %eax, (boot_gdt_at - boot_image)(%ebp)
    lgdt (boot_gdt_size - boot_image)(%ebp)
    leal (boot_entry64_low - boot_image)(%ebp), %eax
    pushl $8
    pushl %eax
    lret

    .code64
boot_entry64_low:
    movl %edi, %edi
    movl %ebx, %esi
    jmp enter

    /* Our UEFI loader: rdi is BOOT_MAGIC, rsi its boot_info; paging is the firmware's, one to one. */
    .globl boot_entry64
boot_entry64:
    cli
    cld
    movq %cr4, %rax
    orq $0x620, %rax
    movq %rax, %cr4
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x800, %eax
    wrmsr
    leaq boot_gdt(%rip), %rax
    movq %rax, boot_gdt_at(%rip)
    lgdt boot_gdt_size(%rip)
enter:
    leaq boot_stack_end(%rip), %rsp
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %ebp, %ebp
    pushq $8
    leaq 1f(%rip), %rax
    pushq %rax
    lretq
1:  pushq %rdi
    pushq %rsi
    call boot_relocate
    popq %rsi
    popq %rdi
    call boot_enter
    hlt

    .section .data.head, "aw"
    .balign 16
boot_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
boot_gdt_size:
    .short . - boot_gdt - 1
boot_gdt_at:
    .quad 0

    .section .bss.head, "aw", @nobits
    .balign 4096
boot_tables:
    .skip 6 * 4096
    .globl boot_guard
boot_guard: /* a page that will not be mapped, below the first stack */
    .skip 4096
    .skip STACK_BYTES
    .globl boot_stack_end
boot_stack_end:
