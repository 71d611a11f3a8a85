#!/usr/bin/env bash
# The part of lab.sh that runs in namespaces of its own. Do not start it directly: it mounts over /run and /etc/libvirt.
set -euo pipefail
lab=$1
shift
run=$lab/run

step() { printf '\n== [%4d s] %s\n' "$SECONDS" "$1"; }

[ "$$" = 1 ] || { echo "inside.sh: run lab.sh instead" >&2; exit 2; }
mount -t sysfs sysfs /sys # shows this network namespace's interfaces, for libvirt
# libvirt sees no systemd, D-Bus or firewalld of the machine, and keeps its definitions and leases to itself.
cp -a /etc/libvirt "$run/etc"
for directory in /run /var/lib/libvirt /var/log/libvirt; do mount -t tmpfs tmpfs "$directory"; done
mount --bind "$run/etc" /etc/libvirt
cat >>/etc/libvirt/qemu.conf <<'EOF'
user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
EOF
rm -rf /etc/libvirt/qemu/networks/autostart /etc/libvirt/qemu/autostart /etc/libvirt/storage
ip link set lo up

step "libvirt"
libvirtd --pid-file "$run/libvirtd.pid" >"$lab/libvirtd.log" 2>&1 &
export LIBVIRT_DEFAULT_URI=qemu:///system
# libvirtd says nothing when it is ready; its socket refuses until then.
until virsh --quiet uri >/dev/null 2>&1; do
  kill -0 $! 2>/dev/null || { cat "$lab/libvirtd.log" >&2; exit 1; }
  if [ "$SECONDS" -gt 30 ]; then echo "lab: libvirtd does not answer, see $lab/libvirtd.log" >&2; exit 1; fi
  sleep 0.1
done
mkdir "$run/pool"
virsh --quiet pool-define-as default dir --target "$run/pool"
virsh --quiet pool-start default

step "vagrant up"
vagrant up >"$lab/up.log" 2>&1 || { tail -n 40 "$lab/up.log" >&2; exit 1; }
step "the VMs are up"
vagrant status --machine-readable | awk -F, '$3 == "state" { printf "%s %s\n", $2, $4 }'

# A task in an emulated VM takes seconds; a busy VM may need long for a new ssh connection.
export ANSIBLE_TIMEOUT=60 ANSIBLE_FORCE_COLOR=false
if [ $# -gt 0 ]; then
  step "$*"
  "$@"
else
  step "ansible-playbook site.yml"
  # Secrets of the run's own. Emulated hosts answer many seconds apart, which the check of their clocks cannot tell
  # from clocks that differ.
  ansible-playbook site.yml --extra-vars "flux_secrets_dir=$run/secrets common_clock_tolerance=300"
  step "checks"
  python tests/vagrant/check.py
fi

step "vagrant destroy"
vagrant destroy --force >"$lab/destroy.log" 2>&1 || { tail -n 40 "$lab/destroy.log" >&2; exit 1; }
left=$(virsh --quiet list --all --name)
[ -z "$left" ] || { echo "lab: vagrant left $left" >&2; exit 1; }
step "done"
