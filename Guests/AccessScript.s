#/ Walks a table of accesses, an encoded `AccessScript`, on a 32-bit CPU in flat mode.
#/
#/ It begins with ESI at the table, EDI at the results, EBX at a workspace of 16 KiB (aligned to
#/ its size, one for each CPU) and ESP at the workspace's end, and ends with a write to the exit
#/ port.
#/ The program itself is never written to, so that any number of CPUs may share it.

        .code32

# An entry of the table; AccessScript+Encoding.swift writes them.
        .equ OPCODE, 0                  # byte
        .equ SPACE, 1                   # byte: 0 memory, 1 ports
        .equ WIDTH, 2                   # byte: 1, 2, 4 or 8
        .equ VECTOR, 3                  # byte
        .equ COUNT, 4                   # 32 bits
        .equ ADDRESS, 8                 # 64 bits, the upper half zero
        .equ VALUE, 16                  # 64 bits
        .equ MASK, 24                   # 64 bits: a mask, or what is added to the value each time
        .equ SLOT, 32                   # 32 bits: where the result goes; all-ones for nowhere
        .equ STEP, 36                   # 32 bits: what is added to the address each time
        .equ ENTRY, 40

# The workspace; AccessScriptLayout.swift knows it, too.
        .equ WORKSPACE_MASK, ~0x3fff
        .equ IDT, 0x0000                # 256 gates
        .equ COUNTERS, 0x0800           # 256 times 32 bits: how often each vector was taken
        .equ ACTIONS, 0x0c00            # 256 times 32 bits: the entry that each vector's handler performs
        .equ STUBS, 0x1000              # 256 calls
        .equ RESULTS, 0x1600            # what EDI was

        .equ EXIT_PORT, 0xf4
        .equ STATUS_EXCEPTION, 0x100
        .equ STATUS_TIMED_OUT, 0x200
        .equ STATUS_BAD_ENTRY, 0x300

        .equ APIC_PRIORITY, 0xfee00080
        .equ APIC_EOI, 0xfee000b0
        .equ APIC_SPURIOUS, 0xfee000f0
        .equ APIC_LINT0, 0xfee00350

        .text
        .globl _start
_start:
        cld
        lgdt gdt_pointer
        call prepare_interrupts
next:
        movzbl OPCODE(%esi), %eax
        cmpl $(operations_end - operations) / 4, %eax
        jae bad_entry
        call *operations(, %eax, 4)
        addl $ENTRY, %esi
        jmp next

# --- Operations: each keeps ESI and EDI ---

# Ends with the value as the status.
operation_exit:
        movl VALUE(%esi), %eax
stop:
        outl %eax, $EXIT_PORT
stopped:
        cli
        hlt
        jmp stopped

bad_entry:
        movl $STATUS_BAD_ENTRY, %eax
        jmp stop

# Leaves the routine for the entry's space and width in EAX; `EBP` gets the address.
        .macro routine table
        movzbl SPACE(%esi), %eax
        movzbl WIDTH(%esi), %edx
        bsfl %edx, %edx
        leal (%edx, %eax, 4), %eax
        movl \table(, %eax, 4), %eax
        movl ADDRESS(%esi), %ebp
        .endm

# Jumps to `other` unless the entry is of 4 bytes of memory, at one address.
        .macro unless_plain other
        cmpw $0x0400, SPACE(%esi)       # the space and the width
        jne \other
        cmpl $0, STEP(%esi)
        jne \other
        .endm

# Does `instruction` ECX times, with little in between: where a guest is emulated each instruction
# costs about a microsecond, and what is measured is to be the access.
        .macro repeatedly instruction:vararg
1:      cmpl $16, %ecx
        jb 2f
        .rept 16
        \instruction
        .endr
        subl $16, %ecx
        jmp 1b
2:      testl %ecx, %ecx
        jz 3f
        \instruction
        decl %ecx
        jmp 2b
3:
        .endm

# Reads COUNT times; the results go to successive slots.
operation_read:
        cmpl $-1, SLOT(%esi)
        jne read_any
        unless_plain read_any
        movl ADDRESS(%esi), %ebp
        movl COUNT(%esi), %ecx
        repeatedly movl (%ebp), %eax
        ret
read_any:
        routine readers
        pushl %eax
        movl COUNT(%esi), %ecx
        movl SLOT(%esi), %ebx
read_again:
        call *(%esp)
        cmpl $-1, %ebx
        je read_kept
        movl %eax, (%edi, %ebx, 8)
        movl %edx, 4(%edi, %ebx, 8)
        incl %ebx
read_kept:
        addl STEP(%esi), %ebp
        decl %ecx
        jnz read_again
        popl %eax
        ret

# Writes COUNT times, adding to the value and to the address after each.
operation_write:
        unless_plain write_any
        movl MASK(%esi), %eax
        orl MASK + 4(%esi), %eax
        jnz write_any
        movl ADDRESS(%esi), %ebp
        movl COUNT(%esi), %ecx
        movl VALUE(%esi), %eax
        repeatedly movl %eax, (%ebp)
        ret
write_any:
        routine writers
        pushl VALUE + 4(%esi)
        pushl VALUE(%esi)
        pushl %eax
        movl COUNT(%esi), %ecx
write_again:
        movl 4(%esp), %eax
        movl 8(%esp), %edx
        call *(%esp)
        movl MASK(%esi), %eax
        addl %eax, 4(%esp)
        movl MASK + 4(%esi), %eax
        adcl %eax, 8(%esp)
        addl STEP(%esi), %ebp
        decl %ecx
        jnz write_again
        addl $12, %esp
        ret

# Writes what a slot holds, masked, with the bits of the value set.
operation_write_result:
        routine writers
        movl %eax, %ecx
        movl SLOT(%esi), %ebx
        movl (%edi, %ebx, 8), %eax
        movl 4(%edi, %ebx, 8), %edx
        andl MASK(%esi), %eax
        andl MASK + 4(%esi), %edx
        orl VALUE(%esi), %eax
        orl VALUE + 4(%esi), %edx
        jmp *%ecx

# Reads until the masked bits equal the value, COUNT times at most.
operation_poll:
        routine readers
        pushl %eax
        movl COUNT(%esi), %ecx
        movl SLOT(%esi), %ebx
poll_again:
        call *(%esp)
        cmpl $-1, %ebx
        je poll_kept
        movl %eax, (%edi, %ebx, 8)
        movl %edx, 4(%edi, %ebx, 8)
poll_kept:
        andl MASK(%esi), %eax
        andl MASK + 4(%esi), %edx
        cmpl VALUE(%esi), %eax
        jne poll_next
        cmpl VALUE + 4(%esi), %edx
        je poll_done
poll_next:
        pause
        decl %ecx
        jnz poll_again
        movl $STATUS_TIMED_OUT, %eax
        jmp stop
poll_done:
        popl %eax
        ret

# Masks the 8259s, enables the local APIC and takes interrupts from here on.
operation_enable_interrupts:
        movb $0xff, %al
        outb %al, $0x21
        outb %al, $0xa1
        movl $0x10000, APIC_LINT0
        movl $0, APIC_PRIORITY
        movl $0x1ff, APIC_SPURIOUS
        sti
        ret

# Sleeps until a vector was taken COUNT times since the beginning.
operation_await_interrupts:
        movl %esp, %ebx
        andl $WORKSPACE_MASK, %ebx
        movzbl VECTOR(%esi), %eax
        leal COUNTERS(%ebx, %eax, 4), %ebp
        movl COUNT(%esi), %ecx
await_again:
        cli
        cmpl %ecx, (%ebp)
        jae await_done
        sti
        hlt
        jmp await_again
await_done:
        sti
        ret

# Makes the entry that follows what a vector's handler performs before it ends the interrupt.
operation_on_interrupt:
        movl %esp, %ebx
        andl $WORKSPACE_MASK, %ebx
        movzbl VECTOR(%esi), %eax
        addl $ENTRY, %esi
        movl %esi, ACTIONS(%ebx, %eax, 4)
        ret

# Reads COUNT elements of a port into memory at VALUE, with one string instruction.
operation_read_string:
        movl ADDRESS(%esi), %edx
        movl COUNT(%esi), %ecx
        movzbl WIDTH(%esi), %eax
        pushl %edi
        movl VALUE(%esi), %edi
        cmpl $2, %eax
        jb read_string_1
        je read_string_2
        rep insl
        jmp read_string_done
read_string_2:
        rep insw
        jmp read_string_done
read_string_1:
        rep insb
read_string_done:
        popl %edi
        ret

# Writes COUNT elements of memory at VALUE to a port, with one string instruction.
operation_write_string:
        movl ADDRESS(%esi), %edx
        movl COUNT(%esi), %ecx
        movzbl WIDTH(%esi), %eax
        pushl %esi
        movl VALUE(%esi), %esi
        cmpl $2, %eax
        jb write_string_1
        je write_string_2
        rep outsl
        jmp write_string_done
write_string_2:
        rep outsw
        jmp write_string_done
write_string_1:
        rep outsb
write_string_done:
        popl %esi
        ret

# --- One access at EBP; the value is EDX:EAX; all else is kept ---

# Of MMX only MOVQ from and to memory is used: some processors run no 32-bit guest by themselves, and
# KVM's emulator, which does it then, knows no other MMX instruction.

read_memory_1:
        movzbl (%ebp), %eax
        xorl %edx, %edx
        ret
read_memory_2:
        movzwl (%ebp), %eax
        xorl %edx, %edx
        ret
read_memory_4:
        movl (%ebp), %eax
        xorl %edx, %edx
        ret
read_memory_8:
        movq (%ebp), %mm0
        subl $8, %esp
        movq %mm0, (%esp)
        popl %eax
        popl %edx
        ret
read_port_1:
        movl %ebp, %edx
        xorl %eax, %eax
        inb %dx, %al
        xorl %edx, %edx
        ret
read_port_2:
        movl %ebp, %edx
        xorl %eax, %eax
        inw %dx, %ax
        xorl %edx, %edx
        ret
read_port_4:
        movl %ebp, %edx
        inl %dx, %eax
        xorl %edx, %edx
        ret

write_memory_1:
        movb %al, (%ebp)
        ret
write_memory_2:
        movw %ax, (%ebp)
        ret
write_memory_4:
        movl %eax, (%ebp)
        ret
write_memory_8:
        pushl %edx
        pushl %eax
        movq (%esp), %mm0
        addl $8, %esp
        movq %mm0, (%ebp)
        ret
write_port_1:
        movl %ebp, %edx
        outb %al, %dx
        ret
write_port_2:
        movl %ebp, %edx
        outw %ax, %dx
        ret
write_port_4:
        movl %ebp, %edx
        outl %eax, %dx
        ret

# --- Interrupts ---

# Fills the workspace at EBX: a stub and a gate for each vector, nothing counted, no actions.
prepare_interrupts:
        pushl %edi
        movl %edi, RESULTS(%ebx)
        leal COUNTERS(%ebx), %edi
        xorl %eax, %eax
        movl $512, %ecx
        rep stosl
        leal STUBS(%ebx), %edx
        movl %ebx, %edi
        movl $256, %ecx
prepare_gate:
        movb $0xe8, (%edx)              # call interrupted
        movl $interrupted - 5, %eax
        subl %edx, %eax
        movl %eax, 1(%edx)
        movl %edx, %eax
        andl $0xffff, %eax
        orl $0x80000, %eax              # the code segment
        stosl
        movl %edx, %eax
        movw $0x8e00, %ax               # an interrupt gate
        stosl
        addl $5, %edx
        decl %ecx
        jnz prepare_gate
        subl $8, %esp
        movw $0x7ff, (%esp)
        movl %ebx, 2(%esp)
        lidt (%esp)
        addl $8, %esp
        popl %edi
        ret

# A stub called: its place in the workspace tells the vector.
interrupted:
        pushal
        movl 32(%esp), %eax
        movl %eax, %ebx
        andl $WORKSPACE_MASK, %ebx
        subl %ebx, %eax
        subl $STUBS + 5, %eax
        xorl %edx, %edx
        movl $5, %ecx
        divl %ecx
        cmpl $32, %eax
        jb exception
        pushl %eax
        movl ACTIONS(%ebx, %eax, 4), %esi
        testl %esi, %esi
        jz count_interrupt
        movl RESULTS(%ebx), %edi
        pushl %ebx
        subl $8, %esp
        movq %mm0, (%esp)
        movzbl OPCODE(%esi), %eax
        call *operations(, %eax, 4)
        movq (%esp), %mm0
        addl $8, %esp
        popl %ebx
count_interrupt:
        popl %eax
        incl COUNTERS(%ebx, %eax, 4)
        movl $0, APIC_EOI
# Where KVM emulates a guest it knows no IRET in this mode. Above the registers lie the stub's return
# address, then what the interrupt left: EIP, CS, EFLAGS. They become EFLAGS without IF, and EIP; STI
# holds interrupts back for one more instruction, so that they never pile up.
        movl 36(%esp), %eax
        movl 44(%esp), %ecx
        andl $~0x200, %ecx
        movl %ecx, 40(%esp)
        movl %eax, 44(%esp)
        popal
        addl $8, %esp
        popfl
        sti
        ret

# The CPU's own complaint ends the program.
exception:
        orl $STATUS_EXCEPTION, %eax
        jmp stop

        .data
        .balign 8
gdt:
        .quad 0
        .quad 0x00cf9b000000ffff        # 0x08: code, all of memory
        .quad 0x00cf93000000ffff        # 0x10: data, all of memory
gdt_pointer:
        .word . - gdt - 1
        .long gdt
        .balign 4
operations:
        .long operation_exit, operation_read, operation_write, operation_write_result
        .long operation_poll, operation_enable_interrupts, operation_await_interrupts
        .long operation_on_interrupt, operation_read_string, operation_write_string
operations_end:
readers:
        .long read_memory_1, read_memory_2, read_memory_4, read_memory_8
        .long read_port_1, read_port_2, read_port_4, bad_entry
writers:
        .long write_memory_1, write_memory_2, write_memory_4, write_memory_8
        .long write_port_1, write_port_2, write_port_4, bad_entry
