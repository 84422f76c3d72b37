# Lets the kernel's gpio-pci-idio-16 drive `gpio`: lines 0 to 15 are outputs, 16 to 31 inputs.

gpio=$(pci_find 494f 0dc8)
gpio_irq=$(cat "$gpio/irq")
gpio_first=$(cat "$gpio"/gpio/gpiochip*/base)

# line NUMBER: the sysfs folder of a line. The kernel names it after the line where the driver has a name.
line() {
  local name folder
  if [ "$1" -lt 16 ]; then name=OUT$1; else name=IIN$(($1 - 16)); fi
  for folder in /sys/class/gpio/$name /sys/class/gpio/gpio$((gpio_first + $1)); do
    [ ! -d "$folder" ] || echo "$folder"
  done
}

# gpio_register OFFSET: one byte of BAR2, read past the driver, which answers from what it remembers.
gpio_register() {
  local address
  address=$(($(bar "$gpio" 2 1) + $1))
  # Bit 8 of the resource flags marks I/O space.
  if [ $(($(bar "$gpio" 2 3) & 0x100)) -ne 0 ]; then
    dd if=/dev/port bs=1 skip=$address count=1 2>/dev/null | hexdump -v -e '"0x" 1/1 "%02x"'
  else
    devmem $address 8
  fi
}

# input INDEX, input_is INDEX VALUE: the state of an input line (0 to 15) as the driver reads it.
input() { cat "$(line $((16 + $1)))/value"; }
input_is() { [ "$(input "$1")" = "$2" ]; }

# The host sets input lines through the device's backend.
set_input() {
  ask gpio-input "$1" "$2"
  wait_until 5 input_is "$1" "$2" || { echo "input $1 does not become $2"; return 1; }
}

gpio_bound() {
  case "$(bound_driver "$gpio")" in
    *idio-16) ;;
    *) echo "bound to: $(bound_driver "$gpio")"; return 1 ;;
  esac
  expect "the number of lines" "$(cat "$gpio"/gpio/gpiochip*/ngpio)" 32 || return 1
  n=0
  while [ $n -lt 32 ]; do
    echo $((gpio_first + n)) >/sys/class/gpio/export || return 1
    if [ $n -lt 16 ]; then direction=out; else direction=in; fi
    [ "$(cat "$(line $n)/direction")" = $direction ] || { echo "line $n is no $direction"; return 1; }
    n=$((n + 1))
  done
  echo "interrupt line $gpio_irq"
}

gpio_outputs() {
  n=0
  while [ $n -lt 16 ]; do
    for value in 1 0; do
      echo $value >"$(line $n)/value"
      expect "output $n" "$(cat "$(line $n)/value")" $value || return 1
      # Outputs 0 to 7 are register 0, outputs 8 to 15 register 4; all others are off.
      if [ $n -lt 8 ]; then low=$((value << n)) high=0; else low=0 high=$((value << (n - 8))); fi
      expect "register 0 with output $n at $value" "$(gpio_register 0)" $low || return 1
      expect "register 4 with output $n at $value" "$(gpio_register 4)" $high || return 1
    done
    n=$((n + 1))
  done
  # Leave a pattern behind for the host to find at the backend.
  for n in 5 9; do echo 1 >"$(line $n)/value"; done
}

gpio_inputs() {
  low=$(gpio_register 1) high=$(gpio_register 5)
  expect "inputs 0 to 7 at rest" "$low" 0 || return 1
  expect "inputs 8 to 15 at rest" "$high" 0 || return 1
  n=0
  while [ $n -lt 16 ]; do set_input $n 1 || return 1; n=$((n + 1)); done
  expect "inputs 0 to 7" "$(gpio_register 1)" 0xff || return 1
  expect "inputs 8 to 15" "$(gpio_register 5)" 0xff || return 1
  n=0
  while [ $n -lt 16 ]; do set_input $n 0 || return 1; n=$((n + 1)); done
  expect "inputs 0 to 7 at the end" "$(gpio_register 1)" 0 || return 1
  expect "inputs 8 to 15 at the end" "$(gpio_register 5)" 0
}

# The kernel counts the PCI function's interrupt, and the line's own behind it.
line_irq_count() { awk '$NF == "gpiolib" { sum += $2 } END { print sum + 0 }' /proc/interrupts; }

gpio_interrupt() {
  echo both >"$(line 19)/edge" || return 1
  before=$(irq_count "$gpio_irq")
  for value in 1 0; do
    taken=$(irq_count "$gpio_irq")
    set_input 3 $value || return 1
    wait_until 5 irq_passed "$gpio_irq" "$taken" || { echo "no interrupt for input 3 at $value"; return 1; }
  done
  irq_quiet "$gpio_irq" || return 1
  [ "$(line_irq_count)" -ge 2 ] || { echo "the driver did not hand the interrupts on"; return 1; }
  echo "$(($(irq_count "$gpio_irq") - before)) counted for 2 changes"
}

gpio_interrupt_disabled() {
  echo none >"$(line 19)/edge" || return 1
  before=$(irq_count "$gpio_irq")
  set_input 3 1 && set_input 3 0 && irq_quiet "$gpio_irq" || return 1
  expect "the interrupt count" "$(irq_count "$gpio_irq")" "$before"
}

check gpio-bound gpio_bound
check gpio-outputs gpio_outputs
check gpio-inputs gpio_inputs
check gpio-interrupt gpio_interrupt
check gpio-interrupt-disabled gpio_interrupt_disabled
