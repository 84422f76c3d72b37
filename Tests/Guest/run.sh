#!/usr/bin/env bash
# Boots Debian's kernel under QEMU and lets its own drivers use our devices. See README.md.
#
#   run.sh [--require] [--reference] [--private-memory]
#
#   --require    exit with code 77 instead of 0 where the test cannot run
#   --private-memory  the guest's memory is not shared: devices reach it by messages
#   --reference  QEMU's own `edu` and `pci-serial` take the place of ours: shows that the checks are right
#
#   QEMU           a QEMU >= 10.1 with vfio-user-pci (default: qemu-system-x86_64 on PATH)
#   VFIO_USER      the vfio-user tool (default: the newest of this package's builds)
#   GUEST_CACHE    a folder for the downloaded kernel (default: .build-guest)
#   GUEST_TIMEOUT  seconds until the guest must have finished (default: 180)
set -euo pipefail
trap 'echo "guest test: line $LINENO of run.sh failed" >&2' ERR

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
package=$(cd "$here/../.." && pwd)
skip_code=0
reference=

for argument in "$@"; do
  case $argument in
    --require) skip_code=77 ;;
    --reference) reference=1 ;;
    --private-memory) memory=memory-backend-ram,id=ram,size=512M ;;
    *) echo "usage: run.sh [--require] [--reference] [--private-memory]" >&2; exit 64 ;;
  esac
done

. "$here/host.sh"

if [ -n "$tool" ]; then
  devices=gpio,serial,edu
elif [ -n "$reference" ]; then
  devices=serial,edu
else
  echo "guest test: no vfio-user tool; run \`swift build\` first, or set VFIO_USER" >&2
  exit 1
fi

# ---- the machine ----

make_guest
machine_options
# memmap= takes the RAM for edu's DMA away from the kernel, and iomem=relaxed lets devmem look at registers
# that a driver has claimed.
options+=(
  -kernel "$work/vmlinuz" -initrd "$work/initramfs.gz"
  -append "console=ttyS0 quiet panic=-1 8250.nr_uarts=8 iomem=relaxed memmap=1M\$0x0f000000 guest.devices=$devices"
)

if [ -n "$tool" ]; then
  serve gpio gpio --backend "unix:$work/gpio.backend"
  attach gpio 4
  talk_to gpio
fi
if [ -n "$reference" ]; then
  options+=(
    -chardev "file,id=file,path=$work/serial.output" -device pci-serial,addr=5,chardev=file
    -device edu,addr=6
    -chardev "socket,id=socket,path=$work/serial-socket.backend,server=on,wait=off"
    -device pci-serial,addr=7,chardev=socket
  )
else
  serve serial-file serial --backend "file:$work/serial.output"
  attach serial-file 5
  serve edu edu
  attach edu 6
  serve serial-socket serial --backend "unix:$work/serial-socket.backend"
  attach serial-socket 7
fi
talk_to serial-socket

# ---- checks ----

# What the guest asks the host to do.
answer() {
  case $1 in
    gpio-input) echo "set $2 $3" >&"${requests[gpio]}" ;;
    serial-send)
      head -c "$2" >"$work/sent" < <(seq -f 'line %.0f from the host' 1 "$2")
      cat "$work/sent" >&"${requests[serial-socket]}"
      ;;
    *) report "guest-asks-for-$1" FAIL "unknown" ;;
  esac
}

# What the guest tells the host.
learn() {
  case $1 in
    serial-output) verify serial-output-complete wait_for 10 has_content "$work/serial.output" "$2" "$3" ;;
    serial-echo)
      verify serial-input-complete has_content "$work/sent" "$2" "$3"
      verify serial-echo-complete wait_for 10 has_content "$work/serial-socket.received" "$2" "$3"
      ;;
    *) report "guest-tells-$1" FAIL "unknown" ;;
  esac
}

gpio_backend_saw_outputs() {
  grep -qx 'out 5 1' "$work/gpio.received" && grep -qx 'out 9 1' "$work/gpio.received"
}

# ---- the run ----

"$qemu" --version | sed -n 1p
boot

if [ -n "$tool" ]; then
  verify gpio-backend-saw-outputs wait_for 5 gpio_backend_saw_outputs
  verify qemu-is-content qemu_is_content
fi
for name in "${!device_pid[@]}"; do verify "$name-ends-cleanly" ends_cleanly "$name"; done
# The scripts' names are split into words on purpose.
# shellcheck disable=SC2046
require_checks $(expected_checks ${devices//,/ }) serial-output-complete serial-input-complete serial-echo-complete
finish
