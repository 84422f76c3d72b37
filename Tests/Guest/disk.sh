#!/usr/bin/env bash
# Boots Debian's kernel, and UEFI firmware, on a disk of ours: `nvme` on a file. See README.md.
#
#   disk.sh [--require] [--private-memory] [--doorbells trapped|mapped] [--queue-threads N]
#
#   --require    exit with code 77 instead of 0 where the test cannot run
#   --private-memory  the guest's memory is not shared: the device reaches it by messages
#   --doorbells  how doorbells arrive; mapped makes the device poll
#   --queue-threads  threads of the device for the I/O queues
#
#   QEMU, VFIO_USER, GUEST_CACHE as for run.sh
#   GUEST_TIMEOUT  seconds until each guest must have finished (default: 300)
set -euo pipefail
trap 'echo "guest test: line $LINENO of disk.sh failed" >&2' ERR

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
package=$(cd "$here/../.." && pwd)
skip_code=0
doorbells=trapped
threads=0
while [ $# -gt 0 ]; do
  case $1 in
    --require) skip_code=77 ;;
    --private-memory) memory=memory-backend-ram,id=ram,size=512M ;;
    --doorbells) doorbells=$2; shift ;;
    --queue-threads) threads=$2; shift ;;
    *) echo "usage: disk.sh [--require] [--private-memory] [--doorbells trapped|mapped] [--queue-threads N]" >&2; exit 64 ;;
  esac
  shift
done
export GUEST_TIMEOUT=${GUEST_TIMEOUT:-300}

. "$here/host.sh"
[ -n "$tool" ] || { echo "guest test: no vfio-user tool; run \`swift build\` first, or set VFIO_USER" >&2; exit 1; }

programs=()
for program in fio nvme mkfs.ext4 blkdiscard; do
  path=$(PATH=$PATH:/usr/sbin:/sbin command -v "$program") || skip "needs $program (Debian: fio nvme-cli e2fsprogs util-linux)"
  programs+=("$path")
done

make_guest "${programs[@]}"
truncate -s 256M "$work/disk.img"
poll=adaptive
[ "$doorbells" = trapped ] || poll=always
serve disk nvme --namespace "file:$work/disk.img" --poll "$poll" \
  --set "doorbells=$doorbells" --set "queue-threads=$threads"

data=
answer() { report "guest-asks-for-$1" FAIL "unknown"; }

# used: how many KiB the file takes on the host.
used() { du -k "$work/disk.img" | cut -f1; }

discarded() {
  why="the file still takes $(used) KiB"
  [ "$(used)" -lt 4096 ]
}

# dma_is_answered: QEMU has answered what a device asked for of memory that is not shared.
dma_is_answered() {
  why=$(grep -h -m 1 'did not answer a DMA' "$work/disk.log" "$work/efi.log" 2>/dev/null || true)
  [ -z "$why" ]
}

learn() {
  case $1 in
    nvme-discarded) verify nvme-discard-frees-space discarded ;;
    nvme-data) data=$2 ;;
    *) report "guest-tells-$1" FAIL "unknown" ;;
  esac
}

# linux DEVICES: boots the kernel with the disk.
linux() {
  machine_options
  options+=(
    -smp 2 -kernel "$work/vmlinuz" -initrd "$work/initramfs.gz"
    -append "console=ttyS0 quiet panic=-1 guest.devices=$1 guest.data=$data"
  )
  attach disk 4
  boot
}

# The firmware's shell lists the disk and reads its first block; the script for it lies on the disk itself.
firmware() {
  local code=/usr/share/OVMF/OVMF_CODE_4M.fd vars=/usr/share/OVMF/OVMF_VARS_4M.fd
  if [ ! -e "$code" ] || ! command -v mkfs.vfat >/dev/null || ! command -v mcopy >/dev/null; then
    echo "skip firmware: needs ovmf, dosfstools and mtools"
    return
  fi
  cp "$vars" "$work/vars.fd"
  truncate -s 64M "$work/efi.img"
  mkfs.vfat "$work/efi.img" >/dev/null
  printf 'echo FIRMWARE-READS\r\nmap -b\r\ntype fs0:\\hello.txt\r\nreset -s\r\n' >"$work/startup.nsh"
  echo "the firmware reads this" >"$work/hello.txt"
  mcopy -i "$work/efi.img" "$work/startup.nsh" "$work/hello.txt" ::
  serve efi nvme --namespace "file:$work/efi.img,readonly=on"
  machine_options
  options+=(
    -drive "if=pflash,format=raw,readonly=on,file=$code" -drive "if=pflash,format=raw,file=$work/vars.fd"
    -net none
  )
  attach efi 5
  timeout 120 "$qemu" "${options[@]}" >"$work/firmware.log" 2>>"$work/qemu.log" </dev/null || true
  verify firmware-lists-disk grep -aq 'NVMe(' "$work/firmware.log"
  verify firmware-reads-disk grep -aq 'the firmware reads this' "$work/firmware.log"
}

"$qemu" --version | sed -n 1p
linux nvme
linux nvme-again
firmware
verify qemu-is-content qemu_is_content
verify dma-is-answered dma_is_answered
for name in "${!device_pid[@]}"; do verify "$name-ends-cleanly" ends_cleanly "$name"; done
# The scripts' names are split into words on purpose.
# shellcheck disable=SC2046
require_checks $(expected_checks nvme nvme-again) nvme-discard-frees-space
finish
