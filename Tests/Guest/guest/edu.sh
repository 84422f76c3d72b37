# Drives `edu` with devmem through BAR0, and counts its interrupts with uio_pci_generic.

edu=$(pci_find 1234 11e8)
edu_base=$(bar "$edu" 0 1)

# Register offsets.
ID=0x00 LIVENESS=0x04 FACTORIAL=0x08 STATUS=0x20 IRQ_STATUS=0x24 IRQ_RAISE=0x60 IRQ_ACKNOWLEDGE=0x64
DMA_SOURCE=0x80 DMA_DESTINATION=0x88 DMA_COUNT=0x90 DMA_COMMAND=0x98
STATUS_COMPUTING=0x01 STATUS_FACTORIAL_IRQ=0x80
FACTORIAL_CAUSE=0x1 DMA_CAUSE=0x100
DMA_TO_DEVICE=1 DMA_TO_RAM=3 DMA_WITH_IRQ=4
DMA_BUFFER=0x40000

# Guest RAM that the kernel leaves alone (memmap= on its command line). It lies below 256 MiB, because the
# device only has 28 address bits.
ram=0x0f000000

edu_read() { devmem $((edu_base + $1)) 32; }
edu_write() { devmem $((edu_base + $1)) 32 "$2"; }

# ram_write ADDRESS, ram_read ADDRESS COUNT: standard input or output against physical memory. One byte
# at a time, so that any address and count will do; whole pages go at once.
ram_block() { if [ $(($1 % 4096)) -eq 0 ]; then echo 4096; else echo 1; fi; }
ram_write() {
  local block
  block=$(ram_block "$1")
  dd of=/dev/mem bs="$block" seek=$(($1 / block)) conv=notrunc 2>/dev/null
}
ram_read() {
  local block
  block=$(ram_block $(($1 | $2)))
  dd if=/dev/mem bs="$block" skip=$(($1 / block)) count=$(($2 / block)) 2>/dev/null
}
ram_sum() { ram_read "$1" "$2" | md5sum | cut -d' ' -f1; }

# Command register of PCI configuration space: 2 = memory space, 4 = bus master, 0x400 = INTx disable.
edu_command() { config16 "$edu" 4 "$1"; }

dma_done() { [ $(($(edu_read $DMA_COMMAND) & 1)) -eq 0 ]; }

# dma SOURCE DESTINATION COUNT COMMAND: runs one transfer to its end.
dma() {
  edu_write $DMA_SOURCE "$1"
  edu_write $DMA_DESTINATION "$2"
  edu_write $DMA_COUNT "$3"
  edu_write $DMA_COMMAND "$4"
  wait_until 5 dma_done || { echo "the transfer does not end"; return 1; }
}

edu_identification() {
  expect "BAR0's size" $(($(bar "$edu" 0 2) - edu_base + 1)) 0x100000 || return 1
  expect "the revision" "$(cat "$edu/revision")" 0x10 || return 1
  expect "the identification" "$(edu_read $ID)" 0x010000ed || return 1
  edu_write $ID 0
  expect "the identification after a write" "$(edu_read $ID)" 0x010000ed || return 1
  edu_read $ID
}

edu_liveness() {
  for value in 0 0xffffffff 0x12345678 0xdeadbeef; do
    edu_write $LIVENESS $value
    expect "the inverse of $value" "$(edu_read $LIVENESS)" $((~value & 0xffffffff)) || return 1
  done
}

edu_computed() { [ $(($(edu_read $STATUS) & STATUS_COMPUTING)) -eq 0 ]; }

edu_factorial() {
  # 13! no longer fits into 32 bits; the register holds the low ones.
  for pair in 0:1 1:1 5:120 12:479001600 13:1932053504; do
    edu_write $FACTORIAL "${pair%:*}"
    wait_until 5 edu_computed || { echo "${pair%:*}! does not end"; return 1; }
    expect "${pair%:*}!" "$(edu_read $FACTORIAL)" "${pair#*:}" || return 1
  done
}

# The UIO driver's handler sets INTx Disable, so that each interrupt is counted once; lowering it again
# is for user space, after the acknowledgement.
edu_interrupt() {
  edu_command 0x0002
  before=$(irq_count "$edu_irq")
  edu_write $IRQ_RAISE 0x40
  wait_until 5 irq_passed "$edu_irq" "$before" || { echo "no interrupt"; return 1; }
  expect "the interrupt status" "$(edu_read $IRQ_STATUS)" 0x40 || return 1
  expect "INTx Disable" $(($(config16 "$edu" 4) & 0x400)) 0x400 || return 1
  edu_write $IRQ_ACKNOWLEDGE 0x40
  expect "the interrupt status after the acknowledgement" "$(edu_read $IRQ_STATUS)" 0 || return 1
  edu_command 0x0002
  irq_quiet "$edu_irq" || return 1
  echo "$(($(irq_count "$edu_irq") - before)) counted on line $edu_irq"
}

# INTx is a level: while one cause is left, opening the gate gives another interrupt, and no cause, none.
edu_interrupt_level() {
  edu_command 0x0002
  before=$(irq_count "$edu_irq")
  edu_write $IRQ_RAISE 0x30
  wait_until 5 irq_passed "$edu_irq" "$before" || { echo "no interrupt"; return 1; }
  edu_write $IRQ_ACKNOWLEDGE 0x10
  irq_quiet "$edu_irq" || return 1
  between=$(irq_count "$edu_irq")
  edu_command 0x0002
  wait_until 5 irq_passed "$edu_irq" "$between" || { echo "the second cause is lost"; return 1; }
  edu_write $IRQ_ACKNOWLEDGE 0x20
  edu_command 0x0002
  irq_quiet "$edu_irq"
}

edu_interrupt_disabled() {
  edu_command 0x0402
  before=$(irq_count "$edu_irq")
  edu_write $IRQ_RAISE 0x8
  irq_quiet "$edu_irq" || return 1
  expect "the Interrupt Status bit" $(($(config16 "$edu" 6) & 8)) 8 || return 1
  edu_command 0x0002
  wait_until 5 irq_passed "$edu_irq" "$before" || { echo "the interrupt is lost"; return 1; }
  edu_write $IRQ_ACKNOWLEDGE 0x8
  expect "the Interrupt Status bit when idle" $(($(config16 "$edu" 6) & 8)) 0 || return 1
  edu_command 0x0002
}

edu_factorial_interrupt() {
  edu_command 0x0002
  before=$(irq_count "$edu_irq")
  edu_write $STATUS $STATUS_FACTORIAL_IRQ
  edu_write $FACTORIAL 7
  wait_until 5 irq_passed "$edu_irq" "$before" || { echo "no interrupt"; return 1; }
  expect "the cause" "$(edu_read $IRQ_STATUS)" $FACTORIAL_CAUSE || return 1
  edu_write $IRQ_ACKNOWLEDGE $FACTORIAL_CAUSE
  edu_write $STATUS 0
  expect "7!" "$(edu_read $FACTORIAL)" 5040
}

edu_dma() {
  edu_command 0x0406
  dd if=/dev/urandom bs=4096 count=1 2>/dev/null | ram_write $ram
  dd if=/dev/zero bs=4096 count=1 2>/dev/null | ram_write $((ram + 0x10000))
  sum=$(ram_sum $ram 4096)
  dma $ram $DMA_BUFFER 4096 $DMA_TO_DEVICE || return 1
  dma $DMA_BUFFER $((ram + 0x10000)) 4096 $DMA_TO_RAM || return 1
  copy=$(ram_sum $((ram + 0x10000)) 4096)
  [ "$copy" = "$sum" ] || { echo "4096 bytes sent have checksum $sum, received $copy"; return 1; }
  echo "4096 bytes, checksum $sum"
}

# 100 bytes at odd addresses; the bytes around them stay as they are.
edu_dma_unaligned() {
  edu_command 0x0406
  dd if=/dev/urandom bs=4096 count=1 2>/dev/null | ram_write $ram
  dd if=/dev/zero bs=4096 count=1 2>/dev/null | ram_write $((ram + 0x10000))
  dma $((ram + 3)) $((DMA_BUFFER + 0x15)) 100 $DMA_TO_DEVICE || return 1
  dma $((DMA_BUFFER + 0x15)) $((ram + 0x10000 + 7)) 100 $DMA_TO_RAM || return 1
  sum=$({ dd if=/dev/zero bs=7 count=1; ram_read $((ram + 3)) 100; dd if=/dev/zero bs=1 count=3989; } \
    2>/dev/null | md5sum | cut -d' ' -f1)
  copy=$(ram_sum $((ram + 0x10000)) 4096)
  [ "$copy" = "$sum" ] || { echo "the page has checksum $copy, not $sum"; return 1; }
}

edu_dma_interrupt() {
  edu_command 0x0006
  before=$(irq_count "$edu_irq")
  dma $ram $DMA_BUFFER 64 $((DMA_TO_DEVICE | DMA_WITH_IRQ)) || return 1
  wait_until 5 irq_passed "$edu_irq" "$before" || { echo "no interrupt"; return 1; }
  expect "the cause" "$(edu_read $IRQ_STATUS)" $DMA_CAUSE || return 1
  edu_write $IRQ_ACKNOWLEDGE $DMA_CAUSE
}

# Address bit 28 is beyond the mask: the device drops it, and reads the reserved RAM below.
edu_dma_mask() {
  edu_command 0x0406
  dd if=/dev/urandom bs=4096 count=1 2>/dev/null | ram_write $ram
  sum=$(ram_sum $ram 4096)
  dma $((ram | 1 << 28)) $DMA_BUFFER 4096 $DMA_TO_DEVICE || return 1
  dma $DMA_BUFFER $((ram + 0x10000)) 4096 $DMA_TO_RAM || return 1
  copy=$(ram_sum $((ram + 0x10000)) 4096)
  [ "$copy" = "$sum" ] || { echo "bit 28 of the address was used"; return 1; }
}

edu_dma_needs_bus_master() {
  edu_command 0x0402
  dd if=/dev/urandom bs=4096 count=1 2>/dev/null | ram_write $ram
  sum=$(ram_sum $ram 4096)
  dma $DMA_BUFFER $ram 4096 $DMA_TO_RAM
  [ "$(ram_sum $ram 4096)" = "$sum" ] || { echo "RAM changed with bus mastering off"; return 1; }
}

edu_bound() {
  [ "$(bound_driver "$edu")" = uio_pci_generic ] || { echo "no driver"; return 1; }
  [ "$edu_irq" -gt 0 ] || { echo "no interrupt line"; return 1; }
  echo "interrupt line $edu_irq"
}

echo "1234 11e8" >/sys/bus/pci/drivers/uio_pci_generic/new_id
edu_irq=$(cat "$edu/irq")

check edu-bound edu_bound
check edu-identification edu_identification
check edu-liveness edu_liveness
check edu-factorial edu_factorial
check edu-interrupt edu_interrupt
check edu-interrupt-level edu_interrupt_level
check edu-interrupt-disabled edu_interrupt_disabled
check edu-factorial-interrupt edu_factorial_interrupt
check edu-dma edu_dma
check edu-dma-unaligned edu_dma_unaligned
check edu-dma-interrupt edu_dma_interrupt
check edu-dma-mask edu_dma_mask
check edu-dma-needs-bus-master edu_dma_needs_bus_master
