# Functions shared by the checks that run inside the guest (busybox sh, as root).

# A check runs in one shell with the functions that it calls, so these keep their variables local.

# check NAME FUNCTION: runs FUNCTION and reports it. What the function prints is the detail of the report.
# The host learns which checks to expect from the lines that start with "check NAME", so each stands on
# a line of its own.
check() {
  if detail=$("$2" 2>&1); then verdict=ok; else verdict=FAIL; fi
  echo "GUEST-CHECK $1: $verdict $(echo "$detail" | tr '\n' ' ')"
}

# ask REQUEST...: asks the host to act on a device's backend. There is no answer: the guest watches for
# the effect. Goes to the console, because a check's own output is its detail.
ask() { echo "GUEST-ASK $*" >/dev/console; }

# fact NAME VALUE...: tells the host something that it needs for a check of its own.
fact() { echo "GUEST-FACT $*" >/dev/console; }

# expect WHAT ACTUAL WANTED: compares numbers, written in any base.
expect() {
  [ $(($2)) -eq $(($3)) ] && return 0
  printf '%s is 0x%x, not 0x%x\n' "$1" $(($2)) $(($3))
  return 1
}

# wait_until SECONDS COMMAND...: polls until COMMAND succeeds.
wait_until() {
  local tries=$(($1 * 20))
  shift
  while ! "$@"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || return 1
    usleep 50000
  done
}

# pci_find VENDOR DEVICE [N]: the sysfs folder of the Nth function (default: first) with this identity.
pci_find() {
  local nth=${3:-1} function
  for function in /sys/bus/pci/devices/*; do
    [ "$(cat "$function/vendor")" = "0x$1" ] && [ "$(cat "$function/device")" = "0x$2" ] || continue
    nth=$((nth - 1))
    [ $nth -gt 0 ] || { echo "$function"; return 0; }
  done
  return 1
}

# bound_driver FUNCTION: the name of the driver that a PCI function is bound to.
bound_driver() { basename "$(readlink "$1/driver")"; }

# bar FUNCTION INDEX FIELD: the start (1), last address (2) or resource flags (3) of a base address register.
bar() { awk -v row=$(($2 + 1)) -v field="$3" 'NR == row { print $field }' "$1/resource"; }

# config16 FUNCTION OFFSET [VALUE]: reads, or writes, two bytes of PCI configuration space.
config16() {
  if [ $# -eq 2 ]; then
    dd if="$1/config" bs=2 skip=$(($2 / 2)) count=1 2>/dev/null | hexdump -v -e '"0x" 1/2 "%04x"'
  else
    # One write(2) of both bytes: the kernel makes it one access.
    printf "$(printf '\\x%02x\\x%02x' $(($3 & 0xff)) $(($3 >> 8)))" |
      dd of="$1/config" bs=2 seek=$(($2 / 2)) conv=notrunc 2>/dev/null
  fi
}

# irq_count NUMBER: how often this interrupt was taken, over all processors.
irq_count() {
  awk -v irq="$1:" '$1 == irq { for (i = 2; $i ~ /^[0-9]+$/; i++) sum += $i } END { print sum + 0 }' \
    /proc/interrupts
}

# irq_passed NUMBER COUNT: whether more than COUNT interrupts of this number were taken.
irq_passed() { [ "$(irq_count "$1")" -gt "$2" ]; }

# irq_quiet NUMBER: whether this interrupt is not taken again during 300 ms. A level that nobody lowers,
# or an interrupt that was acknowledged and comes back, shows here.
irq_quiet() {
  local before
  before=$(irq_count "$1")
  usleep 300000
  expect "the interrupt count after a pause" "$(irq_count "$1")" "$before"
}
