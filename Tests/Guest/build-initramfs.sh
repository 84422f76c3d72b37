#!/usr/bin/env bash
# build-initramfs.sh CACHE OUTPUT [PROGRAM]...: makes OUTPUT/vmlinuz and OUTPUT/initramfs.gz, a guest to boot.
#
# PROGRAMs of this system are packed with the libraries that they need.
#
# Kernel and busybox are Debian's packages, downloaded and unpacked into CACHE; nothing is installed. They
# stay there for the next run; the initramfs is made anew each time, because the checks are in it.
# Exit code 77: the packages cannot be had here.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$1
output=$2
shift 2

# The drivers that the checks need; what they depend on is found below.
modules=(gpio-pci-idio-16 uio_pci_generic nvme crc32c_generic ext4)

unavailable() { echo "$1" >&2; exit 77; }

# download PACKAGE: leaves the package file in the current folder.
download() {
  # The sandbox user of apt may not write here. That gives a warning and the download still works.
  apt-get -q download "$1" >download.log 2>&1 && return 0
  # A fresh container has no package lists yet.
  if [ "$(id -u)" -eq 0 ] && apt-get -q update >>download.log 2>&1 &&
    apt-get -q download "$1" >>download.log 2>&1; then
    return 0
  fi
  cat download.log >&2
  unavailable "cannot download Debian's package $1"
}

# The kernel's version is in its package's name, so the name is asked of the package that stands for the newest.
kernel_package() {
  apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}

# fetch: unpacks what the guest is made of into CACHE/unpacked.
fetch() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    unavailable "needs apt-get and dpkg-deb, for Debian's kernel package"
  local work=$cache/download package
  rm -rf "$work"
  mkdir -p "$work/tree"
  cd "$work"
  download busybox-static
  package=${GUEST_KERNEL_PACKAGE:-$(kernel_package)}
  [ -n "$package" ] || { download linux-image-amd64 && package=$(kernel_package); }
  [ -n "$package" ] || unavailable "apt-cache does not know Debian's package linux-image-amd64"
  download "$package"
  dpkg-deb -x busybox-static_*.deb tree
  # All of the kernel's modules would be several hundred megabytes.
  dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x -C tree --wildcards \
    './boot/vmlinuz-*' '*/kernel/drivers/gpio/*' '*/kernel/drivers/uio/*' '*/kernel/drivers/base/regmap/*' \
    '*/kernel/drivers/nvme/*' '*/kernel/fs/ext4/*' '*/kernel/fs/jbd2/*' '*/kernel/fs/mbcache*' \
    '*/kernel/lib/*' '*/kernel/crypto/*' '*/kernel/block/*' '*/kernel/arch/x86/crypto/crc*'
  cd "$cache"
  rm -rf unpacked
  mv download/tree unpacked
  rm -rf download
}

# module_file NAME: a module's path. In names - and _ are the same; newer packages compress the files.
module_file() {
  find "$cache/unpacked" -name "${1//[-_]/[-_]}.ko*" | head -n 1
}

# add_module NAME: puts a module and, before it, those that it depends on into the tree.
add_module() {
  local name=$1 file dependency
  file=$(module_file "$name")
  [ -n "$file" ] || { echo "the kernel package has no module $name" >&2; exit 1; }
  case $file in
    *.xz) xz -dc "$file" ;;
    *.zst) zstd -qdc "$file" ;;
    *) cat "$file" ;;
  esac >"$tree/modules/$name.ko"
  # The module itself names its dependencies: this works without kmod on the host.
  for dependency in $(tr '\0' '\n' <"$tree/modules/$name.ko" | LC_ALL=C sed -n 's/^depends=//p' | tr , ' '); do
    [ -e "$tree/modules/$dependency.ko" ] || add_module "$dependency"
  done
  echo "$name" >>"$tree/modules/order"
}

# add_program FILE: puts a program of this system into the tree, with its loader and libraries where they are here.
add_program() {
  local file
  cp -L "$1" "$tree/bin/"
  for file in $(ldd "$1" | grep -o '/[^ )]*'); do
    mkdir -p "$tree/$(dirname "$file")"
    cp -Lu "$file" "$tree/$file"
  done
}

mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
if ! command -v cpio >/dev/null; then
  [ "$(id -u)" -eq 0 ] && apt-get -q install -y cpio >"$cache/install.log" 2>&1 || unavailable "needs cpio"
fi
# What an older version of this script has left may lack modules.
{ [ -d "$cache/unpacked" ] && [ -n "$(module_file nvme)" ]; } || fetch

tree=$output/tree
mkdir -p "$tree"/{bin,dev,proc,sys,tmp,modules}
cp "$(find "$cache/unpacked" -path '*/bin/busybox')" "$tree/bin/busybox"
ln -s busybox "$tree/bin/sh"
cp -r "$here/guest" "$tree/guest"
mv "$tree/guest/init" "$tree/init"
for module in "${modules[@]}"; do add_module "$module"; done
for program; do add_program "$program"; done

(cd "$tree" && find . | cpio -o -H newc --owner=0:0 --quiet | gzip -1) >"$output/initramfs.gz"
rm -rf "$tree"
cp "$cache"/unpacked/boot/vmlinuz-* "$output/vmlinuz"
