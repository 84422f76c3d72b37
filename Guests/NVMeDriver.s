#/ A driver of an NVMe controller: finds it on PCI bus 0, places its BAR, enables it, makes a pair of I/O
#/ queues with an interrupt by MSI-X, writes block 1, flushes it, reads it back and compares, shuts the
#/ controller down, and prints what it does on the console port. It rings by writing values to doorbells.
#/
#/ It begins on a 32-bit CPU in flat mode, with ESP at a stack and EAX the CPU's number; others than
#/ the first halt. It ends with a write to the exit port: 0, or what went wrong, as Guests/NVMe.inc lists.

        .equ SHADOW, 0
        .include "NVMe.inc"
