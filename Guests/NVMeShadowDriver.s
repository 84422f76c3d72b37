#/ The driver of ``nvmeDriver``, which keeps the doorbells of its I/O queues in its own memory (Doorbell Buffer
#/ Config): it writes to the controller's doorbells only where that asks for it.
#/
#/ It begins and ends like the other.

        .equ SHADOW, 1
        .include "NVMe.inc"
