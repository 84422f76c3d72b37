# Lets the kernel's 8250_pci drive two `serial` functions: the first one's backend is a file, the second
# one's a Unix socket.

serial_file=$(pci_find 1b36 0002 1)
serial_socket=$(pci_find 1b36 0002 2)

# port FUNCTION: the name of its terminal. raw FUNCTION: makes it hand bytes through as they are.
port() { ls "$1/tty"; }
raw() { stty -F "/dev/$(port "$1")" 115200 raw -echo clocal -crtscts; }

serial_bound() {
  for function in "$serial_file" "$serial_socket"; do
    [ "$(bound_driver "$function")" = serial ] || { echo "$function has no driver"; return 1; }
    # Type 4 is a 16550A: the kernel found working FIFOs, and a loop-back mode that works.
    expect "the type of $(port "$function")" "$(cat "/sys/class/tty/$(port "$function")/type")" 4 || return 1
  done
  echo "$(port "$serial_file") and $(port "$serial_socket")"
}

serial_output() {
  raw "$serial_file" || return 1
  irq=$(cat "$serial_file/irq")
  before=$(irq_count "$irq")
  { echo "hello from the guest"; seq 1 5000; } | head -c 20000 >/tmp/output
  # Closing the terminal waits until all has left it.
  timeout 60 dd if=/tmp/output of="/dev/$(port "$serial_file")" bs=20000 2>/dev/null ||
    { echo "the output does not end"; return 1; }
  count=$(($(irq_count "$irq") - before))
  [ $count -gt 0 ] || { echo "no interrupts"; return 1; }
  fact serial-output 20000 "$(md5sum </tmp/output | cut -d' ' -f1)"
  echo "20000 bytes, $count interrupts on line $irq"
}

# The host sends text through the backend, and gets it back to compare.
serial_input() {
  raw "$serial_socket" || return 1
  irq=$(cat "$serial_socket/irq")
  before=$(irq_count "$irq")
  # The terminal must be open before the host sends: what arrives at a closed one is dropped.
  exec 5<>"/dev/$(port "$serial_socket")"
  ask serial-send 3000
  timeout 60 head -c 3000 <&5 >/tmp/input
  timeout 60 cat /tmp/input >&5
  exec 5>&-
  expect "the number of bytes received" "$(stat -c %s /tmp/input)" 3000 || return 1
  count=$(($(irq_count "$irq") - before))
  [ $count -gt 0 ] || { echo "no interrupts"; return 1; }
  fact serial-echo 3000 "$(md5sum </tmp/input | cut -d' ' -f1)"
  echo "3000 bytes each way, $count interrupts on line $irq"
}

check serial-bound serial_bound
check serial-output serial_output
check serial-input serial_input
