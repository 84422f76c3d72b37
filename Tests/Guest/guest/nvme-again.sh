# After a reboot: what was synced to the disk is there.

disk=/dev/nvme0n1
wanted=$(sed -n 's/.*guest\.data=\([0-9a-f]*\).*/\1/p' /proc/cmdline)

disk_is_there() { [ -b "$disk" ]; }

nvme_data_kept() {
  wait_until 10 disk_is_there || { echo "no disk"; return 1; }
  mkdir -p /mnt
  mount -t ext4 "$disk" /mnt || return 1
  found=$(md5sum </mnt/data | cut -d' ' -f1)
  [ "$found" = "$wanted" ] || { echo "checksum $found, not $wanted"; return 1; }
  umount /mnt
  echo "$found"
}

check nvme-data-kept nvme_data_kept
