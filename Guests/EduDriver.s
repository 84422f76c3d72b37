#/ A driver of the device `edu`: finds it on PCI bus 0, sizes and places its BAR, enables its MSI,
#/ lets it compute a factorial, takes the interrupt, and prints what it does on the console port.
#/
#/ It begins on a 32-bit CPU in flat mode, with ESP at a stack and EAX the CPU's number; others than
#/ the first halt. It ends with a write to the exit port: 0, or what went wrong, as listed below.

        .equ NO_DEVICE, 1               # no edu on the bus
        .equ BAD_BAR, 2                 # its BAR is no memory BAR
        .equ BAD_IDENTITY, 3            # the BAR does not show edu's identification
        .equ NO_MSI, 4                  # no such capability
        .equ BAD_RESULT, 5              # another number than the CPU computes
        .equ EXCEPTION, 6               # the CPU raised an exception

        .include "Common.inc"

        .equ CAUSES, 0x8804             # 32 bits: the causes that edu told
        .equ VECTOR, 0x41

        .equ EDU, 0x11e81234            # device and vendor
        .equ EDU_IDENTIFICATION, 0x00
        .equ EDU_FACTORIAL, 0x08
        .equ EDU_STATUS, 0x20
        .equ EDU_CAUSES, 0x24
        .equ EDU_ACKNOWLEDGE, 0x64
        .equ NUMBER, 12

        .globl _start
_start:
        cld
        testl %eax, %eax
        jnz halt
        lgdt gdt_pointer

# --- The bus ---

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
        call print_slot
        call place_bar
        testl %ebx, %ebx
        fail_if z, bad_bar, BAD_BAR
        movl EDU_IDENTIFICATION(%ebp), %ebx
        cmpb $0xed, %bl
        fail_if ne, bad_identity, BAD_IDENTITY
        movl $identity_text, %esi
        call print
        movl %ebx, %eax
        call print_hexadecimal
        call print_newline

# --- Its message ---

        movl $5, %ecx
        call find_capability
        testl %eax, %eax
        fail_if z, no_msi, NO_MSI
        pushl %eax                      # its message control is the upper half
        leal 4(%ebx), %eax
        movl $APIC_MESSAGES, %ecx
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
        fail_if ne, bad_result, BAD_RESULT
        movl $NUMBER, %eax
        call print_decimal
        movl $result_text, %esi
        call print
        movl %ebx, %eax
        call print_decimal
        call print_newline
        xorl %eax, %eax
        jmp stop

# Asks edu for the causes, acknowledges them, and counts.
interrupted:
        pushal
        movl EDU_CAUSES(%ebp), %eax
        movl %eax, CAUSES
        movl %eax, EDU_ACKNOWLEDGE(%ebp)
        incl INTERRUPTS
        movl $0, APIC_EOI
        return_from_interrupt

        .data
found_text: .asciz "found edu at slot "
identity_text: .asciz "it says that it is "
msi_text: .asciz "its interrupt is a message now\n"
interrupt_text: .asciz "an interrupt came, for "
result_text: .asciz "! = "
no_device: .asciz "there is no edu\n"
bad_bar: .asciz "BAR 0 is not of memory\n"
bad_identity: .asciz "that is not edu\n"
no_msi: .asciz "edu has no MSI\n"
bad_result: .asciz "that is not the factorial\n"
