#!/usr/bin/env bash
# Installs the Debian packages that only tests and benchmarks use. Without root or apt it says what will be skipped.
set -euo pipefail
declare -A provides=([haproxy]=haproxy [chromium]=chromium [iptables]=iptables [ip]=iproute2 [ssh]=openssh-client
                     [systemd-nspawn]=systemd-container [mmdebstrap]=mmdebstrap)
missing=()
for command in "${!provides[@]}"; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "$command" >/dev/null || missing+=("${provides[$command]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "flux: not installed: ${missing[*]} (needs root and apt); the tests that use them are skipped" >&2
  exit 0
fi
echo "flux: installing ${missing[*]} for the tests ..." >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
