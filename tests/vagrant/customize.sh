# Runs inside the new root file system of box.sh, under chroot: makes it a machine that Vagrant can use and that boots
# quickly under software emulation.
set -euo pipefail

echo 'LABEL=root / ext4 defaults,noatime,discard 0 1' >/etc/fstab
echo flux-box >/etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 flux-box\n' >/etc/hosts
rm -f /var/lib/dbus/machine-id
: >/etc/machine-id

# systemd-networkd: ifupdown waits 11 s for udev under emulation, and leaves a failed unit after Vagrant's hostname step.
mkdir -p /etc/systemd/network
cat >/etc/systemd/network/20-eth0.network <<'EOF'
[Match]
Name=eth0
[Network]
DHCP=ipv4
LinkLocalAddressing=no
[DHCPv4]
ClientIdentifier=mac
UseHostname=no
EOF
systemctl --quiet enable systemd-networkd.service
systemctl --quiet mask systemd-networkd-wait-online.service systemd-network-generator.service

# Vagrant's well-known user and key: anyone can log in, so this box must never leave its lab.
useradd --create-home --shell /bin/bash --groups sudo vagrant
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/vagrant
chmod 0440 /etc/sudoers.d/vagrant
install -d -m 0700 -o vagrant -g vagrant /home/vagrant/.ssh
install -m 0600 -o vagrant -g vagrant /tmp/vagrant.pub /home/vagrant/.ssh/authorized_keys

# One host key in the box instead of three made at each first boot.
rm -f /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
printf 'UseDNS no\nHostKey /etc/ssh/ssh_host_ed25519_key\n' >/etc/ssh/sshd_config.d/flux-box.conf

# Services are the roles' business: none of those just installed starts by itself.
systemctl --quiet disable redis-server.service redis-sentinel.service haproxy.service keepalived.service
systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
  e2scrub_reap.service fstrim.timer getty@tty1.service
mkdir -p /etc/systemd/journald.conf.d /etc/systemd/system.conf.d
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n' >/etc/systemd/journald.conf.d/flux-box.conf
# Emulated machines are about 14 times slower: Debian's own units must not time out at boot.
printf '[Manager]\nDefaultTimeoutStartSec=300s\nDefaultDeviceTimeoutSec=300s\n' >/etc/systemd/system.conf.d/flux-box.conf

# A small initrd: the virtio disk and ext4, nothing else.
printf 'MODULES=list\nCOMPRESS=lz4\nFSTYPE=ext4\n' >/etc/initramfs-tools/conf.d/flux-box
printf 'virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n' >>/etc/initramfs-tools/modules
update-initramfs -u -k all >/dev/null 2>&1
kernel=$(find /boot -name 'vmlinuz-*' -printf '%f\n' | sort -V | tail -n 1)
version=${kernel#vmlinuz-}
mkdir -p /boot/extlinux
cat >/boot/extlinux/extlinux.conf <<EOF
DEFAULT linux
PROMPT 0
TIMEOUT 0
SERIAL 0 115200
LABEL linux
  LINUX /boot/vmlinuz-$version
  INITRD /boot/initrd.img-$version
  APPEND root=LABEL=root ro net.ifnames=0 console=ttyS0 quiet mitigations=off random.trust_cpu=1 random.trust_bootloader=1 fsck.mode=skip audit=0 apparmor=0
EOF
