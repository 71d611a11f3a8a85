#!/usr/bin/env bash
# A real `vagrant up` with libvirt, then site.yml and checks from outside. `./test.sh --vagrant` runs this; not part of CI.
#   tests/vagrant/lab.sh                 lb1 redis1 dash1 gw1 gw2: make, install, check, destroy
#   tests/vagrant/lab.sh COMMAND...      the same VMs, with COMMAND in place of the installation and the checks
#   FLUX_LAB_GATEWAYS=1 tests/vagrant/lab.sh ansible all -m ansible.builtin.ping
# Needs root, apt, 4 GB of memory and 6 GB of disk. Without usable KVM the VMs run under software emulation, 14 times
# slower. Settings: those of the Vagrantfile and of box.sh, and
#   FLUX_LAB_DIRECTORY   where the box and the logs are kept (~/.cache/flux-gateway/vagrant); remove it at any time
#
# libvirt, the VMs and all that talks to them run in namespaces of their own (network, mounts, processes): addresses,
# bridges, iptables chains, IP forwarding and libvirt's files exist nowhere else, a libvirt that this machine already
# runs is not touched, and all of it ends with this script, however it ends.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
lab=${FLUX_LAB_DIRECTORY:-${XDG_CACHE_HOME:-$HOME/.cache}/flux-gateway/vagrant}
suite=${FLUX_LAB_SUITE:-bookworm}

fail() { echo "lab: $1" >&2; exit 2; }
[ "$(id -u)" = 0 ] || fail "needs root, for libvirt and for namespaces"
command -v apt-get >/dev/null || fail "needs Debian's packages (apt-get)"
[ -x .venv/bin/ansible ] || fail "no Ansible in .venv: run scripts/install.sh dev"

packages=(vagrant vagrant-libvirt libvirt-daemon-system libvirt-clients dnsmasq-base qemu-system-x86 qemu-utils
  mmdebstrap extlinux rsync iptables iproute2 openssh-client)
if ! dpkg --status "${packages[@]}" >/dev/null 2>&1; then
  echo "lab: installing vagrant, libvirt and QEMU (once, about a minute) ..." >&2
  mkdir -p "$lab"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y --no-install-recommends "${packages[@]}"; } >"$lab/apt.log" 2>&1 ||
    { tail -n 20 "$lab/apt.log" >&2; fail "apt failed, see above"; }
fi

# /dev/kvm alone says too little: some virtual machines have one that only runs kernels made for it.
acceleration=tcg
if grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then acceleration=kvm; fi
export FLUX_LAB_ACCELERATION=$acceleration FLUX_LAB_SUITE=$suite VAGRANT_HOME=$lab/home
mkdir -p "$lab"
exec 9>"$lab/lock"
flock --nonblock 9 || fail "another run uses $lab; wait for it, or set FLUX_LAB_DIRECTORY"
tests/vagrant/box.sh "$lab"

# Inside there is no internet: what site.yml would pack on the controller is packed before.
case $suite in
  bookworm) python=3.11 ;;
  trixie) python=3.13 ;;
  *) fail "FLUX_LAB_SUITE must be bookworm or trixie, not $suite" ;;
esac
.venv/bin/python scripts/release.py pack --python "$python" --machine "$(uname -m)" >"$lab/release.log"

run=$lab/run
rm -rf "$run" "$VAGRANT_HOME/data/machine-index"
mkdir -p "$run"
trap 'rm -rf "$run"' EXIT
export FLUX_LAB_BOX=flux/$suite-$acceleration FLUX_LAB_GATEWAYS=${FLUX_LAB_GATEWAYS:-2}
export VAGRANT_DOTFILE_PATH=$run/dotfiles VAGRANT_DEFAULT_PROVIDER=libvirt VAGRANT_CHECKPOINT_DISABLE=1
export PATH="$PWD/.venv/bin:$PATH:/usr/sbin:/sbin"
echo "lab: $acceleration, $FLUX_LAB_GATEWAYS gateways, logs in $lab"
# --pdeathsig and --kill-child: whatever ends this script, or unshare, ends all that is inside.
setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc tests/vagrant/inside.sh "$lab" "$@"
