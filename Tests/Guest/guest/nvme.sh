# Uses a disk of `nvme` with the kernel's driver: formats, fio, resets, a file system.

disk=/dev/nvme0n1
function=$(pci_find 1234 4e56)
fio=/bin/fio

disk_is_there() { [ -b "$disk" ]; }

# fio_verify DEPTH JOBS: writes random blocks and reads them back, each job a part of the disk of its own.
fio_verify() {
  $fio --name="depth-$1" --filename="$disk" --direct=1 --ioengine=libaio --rw=randrw --bs=4k \
    --iodepth="$1" --numjobs="$2" --size=4m --offset_increment=8m --verify=crc32c --verify_fatal=1 \
    --do_verify=1 --group_reporting --minimal >/tmp/fio.log 2>&1 ||
    { tail -n 3 /tmp/fio.log; return 1; }
}

nvme_bound() {
  wait_until 10 disk_is_there || { echo "no disk"; return 1; }
  [ "$(bound_driver "$function")" = nvme ] || { echo "no driver"; return 1; }
  echo "$(cat /sys/class/nvme/nvme0/model), $(cat /sys/class/nvme/nvme0/queue_count) queues"
}

nvme_id_ctrl() {
  nvme id-ctrl /dev/nvme0 >/tmp/id || return 1
  grep -q '^mn *: swift-vfio-user NVMe' /tmp/id || { grep '^mn' /tmp/id; return 1; }
  grep -q '^ver *: 0x10400' /tmp/id || { grep '^ver' /tmp/id; return 1; }
  grep -E '^(sn|oncs|oacs) ' /tmp/id | tr -s ' '
}

block_size_is() { [ "$(cat /sys/block/nvme0n1/queue/logical_block_size)" = "$1" ]; }

nvme_format() {
  nvme format "$disk" --lbaf=1 --force >/tmp/format 2>&1 || { cat /tmp/format; return 1; }
  wait_until 5 block_size_is 4096 || { echo "blocks of $(cat /sys/block/nvme0n1/queue/logical_block_size)"; return 1; }
  fio_verify 8 1 || return 1
  nvme format "$disk" --lbaf=0 --force >/tmp/format 2>&1 || { cat /tmp/format; return 1; }
  wait_until 5 block_size_is 512 || { echo "blocks of $(cat /sys/block/nvme0n1/queue/logical_block_size)"; return 1; }
}

nvme_fio() {
  for depth in 1 32 128; do fio_verify $depth 2 || { echo "at depth $depth"; return 1; }; done
}

nvme_smart_log() {
  nvme smart-log /dev/nvme0 >/tmp/smart || return 1
  written=$(sed -n 's/^host_write_commands[^:]*: *//ip' /tmp/smart | tr -d ,)
  [ "$written" -gt 1000 ] || { echo "only $written writes counted"; return 1; }
  grep -q '^media_errors[[:space:]]*: 0' /tmp/smart || { grep media_errors /tmp/smart; return 1; }
  echo "$written writes"
}

# The controller is reset under load: the driver repeats what was in flight, and nothing is wrong.
nvme_reset() {
  (fio_verify 32 2 >/tmp/reset-fio 2>&1 && echo good >/tmp/reset-result) &
  worker=$!
  for turn in 1 2 3; do
    usleep 150000
    echo 1 >/sys/class/nvme/nvme0/reset_controller || { echo "the reset failed"; return 1; }
  done
  wait $worker
  [ -e /tmp/reset-result ] || { cat /tmp/reset-fio; return 1; }
}

# The driver is taken away under load, and comes back to a disk that works.
nvme_rebind() {
  (dd if=/dev/zero of="$disk" bs=64k count=2000 oflag=direct >/dev/null 2>&1) &
  worker=$!
  usleep 200000
  address=$(basename "$function")
  echo "$address" >/sys/bus/pci/drivers/nvme/unbind
  wait $worker
  disk_is_there && { echo "the disk is still there"; return 1; }
  echo "$address" >/sys/bus/pci/drivers/nvme/bind
  wait_until 10 disk_is_there || { echo "the disk does not come back"; return 1; }
  fio_verify 16 2
}

# Trimmed blocks read zeros; the host looks whether the file has given the space back.
nvme_discard() {
  dd if=/dev/urandom of="$disk" bs=1M count=32 oflag=direct 2>/dev/null
  blkdiscard "$disk" 2>/tmp/discard || { cat /tmp/discard; return 1; }
  [ "$(dd if="$disk" bs=1M count=32 2>/dev/null | tr -d '\0' | wc -c)" -eq 0 ] || { echo "not zeros"; return 1; }
  fact nvme-discarded
}

nvme_ext4() {
  mkfs.ext4 -q -F "$disk" >/tmp/mkfs 2>&1 || { cat /tmp/mkfs; return 1; }
  mkdir -p /mnt
  mount -t ext4 "$disk" /mnt || return 1
  dd if=/dev/urandom of=/mnt/data bs=1M count=16 2>/dev/null
  sync
  fact nvme-data "$(md5sum </mnt/data | cut -d' ' -f1)"
  # Not unmounted: what was synced is there after the reboot.
}

check nvme-bound nvme_bound
check nvme-id-ctrl nvme_id_ctrl
check nvme-format nvme_format
check nvme-fio nvme_fio
check nvme-smart-log nvme_smart_log
check nvme-reset nvme_reset
check nvme-rebind nvme_rebind
check nvme-discard nvme_discard
check nvme-ext4 nvme_ext4
