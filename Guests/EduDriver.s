#/ A driver of the device `edu`: finds it on PCI bus 0, sizes and places its BAR, enables its MSI,
#/ lets it compute a factorial, takes the interrupt, and prints what it does on the console port.
#/
#/ It begins on a 32-bit CPU in flat mode, with ESP at a stack and EAX the CPU's number; others than
#/ the first halt. It ends with a write to the exit port: 0, or what went wrong, as listed below.

        .code32

        .equ CONSOLE, 0x3f8
        .equ EXIT_PORT, 0xf4
        .equ CONFIG_ADDRESS, 0xcf8
        .equ CONFIG_DATA, 0xcfc

        .equ NO_DEVICE, 1               # no edu on the bus
        .equ BAD_BAR, 2                 # its BAR is no 32-bit memory BAR
        .equ BAD_IDENTITY, 3            # the BAR does not show edu's identification
        .equ NO_MSI, 4                  # no such capability
        .equ BAD_RESULT, 5              # another number than the CPU computes
        .equ EXCEPTION, 6               # the CPU raised an exception

# Low memory, which is this program's alone.
        .equ IDT, 0x8000
        .equ INTERRUPTS, 0x8800         # 32 bits: how often the interrupt was taken
        .equ CAUSES, 0x8804             # 32 bits: the causes that edu told

        .equ WINDOWS, 0xe0000000        # where BARs go
        .equ VECTOR, 0x41
        .equ APIC_EOI, 0xfee000b0
        .equ APIC_SPURIOUS, 0xfee000f0
        .equ APIC_LINT0, 0xfee00350

        .equ EDU, 0x11e81234            # device and vendor
        .equ EDU_IDENTIFICATION, 0x00
        .equ EDU_FACTORIAL, 0x08
        .equ EDU_STATUS, 0x20
        .equ EDU_CAUSES, 0x24
        .equ EDU_ACKNOWLEDGE, 0x64
        .equ NUMBER, 12

        .text
        .globl _start
_start:
        cld
        testl %eax, %eax
        jnz halt
        lgdt gdt_pointer

# --- The bus: EDI is what the address port gets for the function's register 0 ---

        movl $0x80000000, %edi
find_next:
        xorl %eax, %eax
        call config_read
        cmpl $EDU, %eax
        je found
        addl $0x800, %edi
        cmpl $0x80010000, %edi
        jb find_next
        movl $no_device, %esi
        movl $NO_DEVICE, %eax
        jmp fail
found:
        movl $found_text, %esi
        call print
        movl %edi, %eax
        shrl $11, %eax
        andl $31, %eax
        call print_decimal
        call print_newline

# --- The BAR: EBP becomes where it is ---

        movl $0x10, %eax
        call config_read
        testl $0x7, %eax
        movl $bad_bar, %esi
        movl $BAD_BAR, %ecx
        jnz fail_ecx
        movl $0x10, %eax
        movl $0xffffffff, %ecx
        call config_write
        movl $0x10, %eax
        call config_read
        andl $~0xf, %eax
        movl $bad_bar, %esi
        movl $BAD_BAR, %ecx
        jz fail_ecx
        negl %eax                       # its size
        movl %eax, %ebx
        leal WINDOWS - 1(%ebx), %ebp    # the next multiple of it
        negl %eax
        andl %eax, %ebp
        movl $0x10, %eax
        movl %ebp, %ecx
        call config_write
        movl $4, %eax
        call config_read
        andl $0xffff, %eax
        orl $6, %eax                    # memory, bus master
        movl %eax, %ecx
        movl $4, %eax
        call config_write
        movl $bar_text, %esi
        call print
        movl %ebx, %eax
        shrl $10, %eax
        call print_decimal
        movl $bar_place, %esi
        call print
        movl %ebp, %eax
        call print_hexadecimal
        movl EDU_IDENTIFICATION(%ebp), %eax
        movl %eax, %ebx
        andl $0xff, %eax
        cmpl $0xed, %eax
        movl $bad_identity, %esi
        movl $BAD_IDENTITY, %ecx
        jne fail_ecx
        movl $identity_text, %esi
        call print
        movl %ebx, %eax
        call print_hexadecimal
        call print_newline

# --- Interrupts: EBX becomes the register of the MSI capability ---

        movl $4, %eax
        call config_read
        testl $0x100000, %eax           # a list of capabilities
        jz no_capability
        movl $0x34, %eax
        call config_read
        movl $48, %ecx                  # as many as there can be
next_capability:
        andl $0xfc, %eax
        jz no_capability
        movl %eax, %ebx
        pushl %ecx
        call config_read
        popl %ecx
        cmpb $5, %al
        je has_msi
        shrl $8, %eax
        decl %ecx
        jnz next_capability
no_capability:
        movl $no_msi, %esi
        movl $NO_MSI, %eax
        jmp fail
has_msi:
        pushl %eax                      # its message control is the upper half
        leal 4(%ebx), %eax
        movl $0xfee00000, %ecx
        call config_write
        movl (%esp), %edx
        leal 8(%ebx), %eax
        testl $0x800000, %edx           # 64-bit addresses
        jz msi_data
        xorl %ecx, %ecx
        call config_write
        leal 12(%ebx), %eax
msi_data:
        movl $VECTOR, %ecx
        call config_write
        popl %ecx
        andl $~0x700000, %ecx           # one vector
        orl $0x10000, %ecx              # enable
        movl %ebx, %eax
        call config_write
        call prepare_interrupts
        movl $msi_text, %esi
        call print

# --- The factorial ---

        movl $0x80, EDU_STATUS(%ebp)    # interrupt when it is done
        movl $NUMBER, EDU_FACTORIAL(%ebp)
await_interrupt:
        cli
        cmpl $0, INTERRUPTS
        jne interrupt_came
        sti
        hlt
        jmp await_interrupt
interrupt_came:
        sti
        movl $interrupt_text, %esi
        call print
        movl CAUSES, %eax
        call print_hexadecimal
        call print_newline
        movl EDU_FACTORIAL(%ebp), %ebx
        movl $NUMBER, %ecx
        movl $1, %eax
multiply:
        mull %ecx
        decl %ecx
        jnz multiply
        cmpl %eax, %ebx
        movl $bad_result, %esi
        movl $BAD_RESULT, %ecx
        jne fail_ecx
        movl $NUMBER, %eax
        call print_decimal
        movl $result_text, %esi
        call print
        movl %ebx, %eax
        call print_decimal
        call print_newline
        xorl %eax, %eax
stop:
        outl %eax, $EXIT_PORT
halt:
        cli
        hlt
        jmp halt

fail_ecx:
        movl %ecx, %eax
fail:
        pushl %eax
        call print
        popl %eax
        jmp stop

# --- Configuration space: register EAX of the function at EDI ---

# Leaves the value in EAX.
config_read:
        orl %edi, %eax
        movl $CONFIG_ADDRESS, %edx
        outl %eax, %dx
        movl $CONFIG_DATA, %edx
        inl %dx, %eax
        ret

# Writes ECX.
config_write:
        orl %edi, %eax
        movl $CONFIG_ADDRESS, %edx
        outl %eax, %dx
        movl %ecx, %eax
        movl $CONFIG_DATA, %edx
        outl %eax, %dx
        ret

# --- Printing ---

# The text at ESI, to its zero byte.
print:
        movl $CONSOLE, %edx
print_next:
        lodsb
        testb %al, %al
        jz print_done
        outb %al, %dx
        jmp print_next
print_done:
        ret

print_newline:
        movl $CONSOLE, %edx
        movb $'\n', %al
        outb %al, %dx
        ret

# EAX, as 0x and eight digits.
print_hexadecimal:
        movl %eax, %ecx
        movl $CONSOLE, %edx
        movb $'0', %al
        outb %al, %dx
        movb $'x', %al
        outb %al, %dx
        pushl %ebx
        movl $8, %ebx
print_digit:
        roll $4, %ecx
        movl %ecx, %eax
        andl $0xf, %eax
        movb digits(%eax), %al
        outb %al, %dx
        decl %ebx
        jnz print_digit
        popl %ebx
        ret

# EAX, without zeros in front.
print_decimal:
        pushl $0                        # ends the digits
        movl $10, %ecx
decimal_digit:
        xorl %edx, %edx
        divl %ecx
        addl $'0', %edx
        pushl %edx
        testl %eax, %eax
        jnz decimal_digit
        movl $CONSOLE, %edx
decimal_print:
        popl %eax
        testl %eax, %eax
        jz decimal_done
        outb %al, %dx
        jmp decimal_print
decimal_done:
        ret

# --- Interrupts ---

# Every gate is an exception's but one; the 8259s are masked, and the local APIC is enabled.
prepare_interrupts:
        pushl %edi
        movl $IDT, %edi
        movl $256, %ecx
prepare_gate:
        movl $exception, %eax
        call write_gate
        decl %ecx
        jnz prepare_gate
        movl $IDT + 8 * VECTOR, %edi
        movl $interrupted, %eax
        call write_gate
        popl %edi
        movl $0, INTERRUPTS
        lidt idt_pointer
        movb $0xff, %al
        outb %al, $0x21
        outb %al, $0xa1
        movl $0x10000, APIC_LINT0
        movl $0x1ff, APIC_SPURIOUS
        sti
        ret

# An interrupt gate at EDI that leads to EAX.
write_gate:
        movl %eax, %edx
        andl $0xffff, %eax
        orl $0x80000, %eax              # the code segment
        stosl
        movl %edx, %eax
        movw $0x8e00, %ax
        stosl
        ret

# Asks edu for the causes, acknowledges them, and counts. The return is without IRET, which KVM does not
# know where it emulates a guest in this mode.
interrupted:
        pushal
        movl EDU_CAUSES(%ebp), %eax
        movl %eax, CAUSES
        movl %eax, EDU_ACKNOWLEDGE(%ebp)
        incl INTERRUPTS
        movl $0, APIC_EOI
        movl 32(%esp), %eax             # EIP; then CS and EFLAGS
        movl 40(%esp), %ecx
        andl $~0x200, %ecx
        movl %ecx, 36(%esp)
        movl %eax, 40(%esp)
        popal
        addl $4, %esp
        popfl
        sti
        ret

exception:
        movl $exception_text, %esi
        movl $EXCEPTION, %eax
        jmp fail

        .data
        .balign 8
gdt:
        .quad 0
        .quad 0x00cf9b000000ffff        # 0x08: code, all of memory
        .quad 0x00cf93000000ffff        # 0x10: data, all of memory
gdt_pointer:
        .word . - gdt - 1
        .long gdt
idt_pointer:
        .word 0x7ff
        .long IDT
digits: .ascii "0123456789abcdef"
found_text: .asciz "found edu at slot "
bar_text: .asciz "its BAR 0 has "
bar_place: .asciz " KiB, and goes to "
identity_text: .asciz "\nit says that it is "
msi_text: .asciz "its interrupt is a message now\n"
interrupt_text: .asciz "an interrupt came, for "
result_text: .asciz "! = "
no_device: .asciz "there is no edu\n"
bad_bar: .asciz "BAR 0 is not of 32-bit memory\n"
bad_identity: .asciz "\nthat is not edu\n"
no_msi: .asciz "edu has no MSI\n"
bad_result: .asciz "that is not the factorial\n"
exception_text: .asciz "the CPU raised an exception\n"
