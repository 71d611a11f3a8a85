#!/usr/bin/env bash
# Builds a Debian box for Vagrant's libvirt provider and adds it to VAGRANT_HOME. Needs root, a Debian mirror, 3 GB of disk.
#   tests/vagrant/box.sh DIR      DIR keeps logs and the box between runs; lab.sh calls this
# The public boxes cannot serve the lab: it runs without internet, and software emulation needs other settings than KVM.
#   FLUX_LAB_SUITE         bookworm (default) or trixie
#   FLUX_LAB_APT_SOURCES   a sources.list to install from (default: Debian's own mirror, as mmdebstrap knows it)
#   FLUX_LAB_ACCELERATION  kvm or tcg: what the box asks libvirt for; lab.sh finds out
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
dir=${1:?usage: box.sh DIR}
suite=${FLUX_LAB_SUITE:-bookworm}
acceleration=${FLUX_LAB_ACCELERATION:-tcg}
box=flux/$suite-$acceleration
disk_gib=6
export VAGRANT_HOME=${VAGRANT_HOME:-$dir/home} VAGRANT_CHECKPOINT_DISABLE=1

# What a Debian cloud image has, and what the roles would install: the VMs have no internet.
packages=(
  systemd systemd-sysv systemd-timesyncd dbus udev kmod initramfs-tools lz4 linux-image-cloud-amd64
  openssh-server sudo python3 python3-apt python3-venv iproute2 iputils-ping iptables nftables procps rsync acl less
  ca-certificates curl redis-server redis-sentinel haproxy keepalived
)

# The box is built anew when this folder's recipe changes, or after a week (Debian's security updates).
stamp=$({ cat box.sh customize.sh; echo "$box" "${FLUX_LAB_APT_SOURCES:-}"; } | sha256sum | cut -d' ' -f1)
mark=$dir/$suite-$acceleration.stamp
if [ -n "$(find "$mark" -mtime -7 2>/dev/null)" ] && [ "$(cat "$mark")" = "$stamp" ]; then exit 0; fi
rm -f "$mark"

work=$dir/build
loop=
clean() {
  if mountpoint -q "$work/mount"; then umount "$work/mount"; fi
  if [ -n "$loop" ]; then losetup -d "$loop"; fi
  rm -rf "$work"
}
trap clean EXIT
rm -rf "$work"
mkdir -p "$work/mount" "$work/box"
say() { printf 'box: [%3d s] %s\n' "$SECONDS" "$*"; }

say "root file system of $suite (mmdebstrap; log: $dir/mmdebstrap.log)"
key=(/usr/share/rubygems-integration/all/gems/vagrant-*/keys/vagrant.pub)
mmdebstrap --variant=minbase --format=tar --include="$(IFS=,; echo "${packages[*]}")" \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook="upload ${key[0]} /tmp/vagrant.pub" --customize-hook='upload customize.sh /tmp/customize.sh' \
  --customize-hook='chroot "$1" bash /tmp/customize.sh' --customize-hook='rm "$1/tmp/vagrant.pub" "$1/tmp/customize.sh"' \
  "$suite" "$work/root.tar" ${FLUX_LAB_APT_SOURCES:+"$FLUX_LAB_APT_SOURCES"} >"$dir/mmdebstrap.log" 2>&1 ||
  { tail -n 20 "$dir/mmdebstrap.log" >&2; exit 1; }

say "disk image"
image=$work/disk.raw
truncate -s ${disk_gib}G "$image"
# One bootable partition from 1 MiB to the end, written by hand: no partition tool is needed for 16 bytes.
python3 - "$image" $((disk_gib * 2097152 - 2048)) <<'EOF'
import struct, sys
with open(sys.argv[1], "r+b") as disk:
    disk.write(open("/usr/lib/EXTLINUX/mbr.bin", "rb").read(440))
    disk.seek(446)
    disk.write(struct.pack("<8BII", 0x80, 0xFE, 0xFF, 0xFF, 0x83, 0xFE, 0xFF, 0xFF, 2048, int(sys.argv[2])))
    disk.seek(510)
    disk.write(b"\x55\xaa")
EOF
loop=$(losetup --find --show --offset 1048576 "$image")
# extlinux 6 cannot read ext4 with 64-bit block numbers or checksums of metadata.
mkfs.ext4 -q -F -L root -m 0 -O ^64bit,^metadata_csum -E lazy_itable_init=1 "$loop"
mount "$loop" "$work/mount"
tar -C "$work/mount" --numeric-owner --xattrs --xattrs-include='*' -xf "$work/root.tar"
extlinux --install "$work/mount/boot/extlinux" >/dev/null 2>&1
umount "$work/mount"
losetup -d "$loop"
loop=

say "box $box"
qemu-img convert -O qcow2 "$image" "$work/box/box.img"
printf '{"provider": "libvirt", "format": "qcow2", "virtual_size": %d}\n' "$disk_gib" >"$work/box/metadata.json"
# What belongs to this box and to emulation, so that the project's Vagrantfile has no word of it.
{
  cat <<'EOF'
Vagrant.configure("2") do |config|
  config.vm.boot_timeout = 600
  config.ssh.connect_timeout = 60
  config.ssh.insert_key = false # a throw-away box: a key of its own costs 25 s a machine under emulation
  config.vm.guest = :debian     # detection is dozens of ssh calls
  config.vm.provider :libvirt do |libvirt|
    libvirt.graphics_type = "none"
    libvirt.random model: "random"
    libvirt.memballoon_enabled = false
EOF
  if [ "$acceleration" = tcg ]; then
    cat <<'EOF'
    libvirt.driver = "qemu"
    libvirt.cpu_mode = "custom"
    libvirt.cpu_model = "qemu64" # "host-model" asks for what emulation does not have
    # QEMU keeps 1 GiB of translated code per machine unless told otherwise. vagrant-libvirt has no setting for it,
    # but writes each feature as <NAME/>, hence this string.
    libvirt.features = ["acpi", "apic/><tcg><tb-cache unit='MiB'>128</tb-cache></tcg><pae"]
EOF
  fi
  printf '  end\nend\n'
} >"$work/box/Vagrantfile"
tar -C "$work/box" -cf "$work/box.tar" metadata.json Vagrantfile box.img
vagrant box add --force --provider libvirt --name "$box" "$work/box.tar" >"$dir/box-add.log" 2>&1 ||
  { cat "$dir/box-add.log" >&2; exit 1; }
echo "$stamp" >"$mark"
say "done"
