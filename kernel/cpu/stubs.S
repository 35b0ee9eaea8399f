/* stubs.S: what C cannot say: where exceptions and interrupts arrive, how threads change, and how the other cores begin.
 * Next: exception.c, thread.c, smp.c.
 */
    .text
    .code64

/* 32 exceptions, 16 bytes each, then the interrupts. All have a word for the error code. */
    .balign 16
    .globl cpu_stubs
cpu_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
    .else
    pushq $0
    .endif
    pushq $vector
    .if vector < 32
    jmp exception
    .else
    jmp interrupt
    .endif
    .set vector, vector + 1
    .endr

exception:
    pushq %r15
    pushq %r14
    pushq %r13
    pushq %r12
    pushq %r11
    pushq %r10
    pushq %r9
    pushq %r8
    pushq %rbp
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %rbx
    pushq %rax
    movq %rsp, %rdi
    cld
    andq $~15, %rsp
    call cpu_exception

/* cpu_interrupt is compiled for general registers only: vector registers stay as they are. */
interrupt:
    pushq %r11
    pushq %r10
    pushq %r9
    pushq %r8
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %rax
    pushq %rbp
    movq %rsp, %rbp
    movq 80(%rsp), %rdi
    movq 96(%rsp), %rsi
    andq $~15, %rsp
    cld
    call cpu_interrupt
    movq %rbp, %rsp
    popq %rbp
    popq %rax
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
    popq %r8
    popq %r9
    popq %r10
    popq %r11
    addq $16, %rsp
    iretq

/* void cpu_switch(uint64_t *save_at, uint64_t load_at): what a call must preserve is all that a thread has. */
    .globl cpu_switch
cpu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret

    .globl cpu_thread_first
cpu_thread_first:
    xorl %ebp, %ebp
    call cpu_thread_enter
    hlt

/* Copied to a page below 640 KiB, where a core starts in real mode with cs = page / 16. */
    .section .rodata
    .balign 16
    .globl cpu_trampoline, cpu_trampoline_at, cpu_trampoline_end
    .code16
cpu_trampoline:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    movl cpu_trampoline_at - cpu_trampoline, %eax
    movl %eax, %cr3
    movl $0x620, %eax
    movl %eax, %cr4
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x900, %eax
    wrmsr
    lgdtl gdt_size - cpu_trampoline
    movl $0x80010023, %eax
    movl %eax, %cr0
    ljmpl *(target - cpu_trampoline)
    .code64
trampoline64:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movq stack(%rip), %rsp
    movq core(%rip), %rdi
    xorl %ebp, %ebp
    movq entry(%rip), %rax
    call *%rax
    hlt
    .balign 8
/* Filled in by smp.c, in this order: CR3, the page's address, the stack, the core, the C function. */
cpu_trampoline_at:
    .quad 0
target:
    .long trampoline64 - cpu_trampoline
    .short 8, 0
stack:
    .quad 0
core:
    .quad 0
entry:
    .quad 0
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_size:
    .short 23
gdt_base:
    .long gdt - cpu_trampoline
    .balign 8
cpu_trampoline_end:
    .section .note.GNU-stack, "", @progbits
