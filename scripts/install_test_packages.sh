#!/usr/bin/env bash
# Installs what only tests and benchmarks use: Debian packages, Redis 7 for the tests alone, and the published JavaScript
# SDK with npm. Without root or apt it says what will be skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
declare -A provides=([haproxy]=haproxy [chromium]=chromium [iptables]=iptables [ip]=iproute2 [ssh]=openssh-client
                     [systemd-nspawn]=systemd-container [mmdebstrap]=mmdebstrap [node]=nodejs [npm]=npm
                     [nginx]="nginx libnginx-mod-nchan")
missing=()
for command in "${!provides[@]}"; do
  if ! PATH="$PATH:/usr/sbin:/sbin" command -v "$command" >/dev/null; then
    read -ra packages <<<"${provides[$command]}"
    missing+=("${packages[@]}")
  fi
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "flux: not installed: ${missing[*]} (needs root and apt); the tests that use them are skipped" >&2
  else
    echo "flux: installing ${missing[*]} for the tests ..." >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    # The benchmarks start an nginx of their own; Debian's would serve port 80 from now on.
    if [[ " ${missing[*]} " == *" nginx "* && -d /run/systemd/system ]]; then
      systemctl disable --quiet --now nginx
    fi
  fi
fi

# Redis 7 is unpacked, with the libraries it brings: installed it would stand before the one that comes with the package.
redis=tests/.redis-7
if [ ! -e "$redis/usr/bin/redis-server" ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "flux: no Redis 7 in $redis (needs root and apt); the tests that use it are skipped" >&2
  else
    echo "flux: unpacking Redis 7 for the tests ..." >&2
    unpacked=$(mktemp -d)
    trap 'rm -rf "$unpacked"' EXIT
    chmod 755 "$unpacked"
    # The user who downloads for apt may write there.
    mkdir -m 777 "$unpacked/packages"
    apt-get update -qq
    (cd "$unpacked/packages" && apt-get download -qq redis-server redis-tools liblzf1 libjemalloc2 libatomic1)
    for package in "$unpacked"/packages/*.deb; do
      dpkg -x "$package" "$unpacked/tree"
    done
    version=$(LD_LIBRARY_PATH=$(printf '%s:' "$unpacked"/tree/usr/lib/*-linux-gnu*) \
              "$unpacked/tree/usr/bin/redis-server" --version)
    case "$version" in
      *v=[7-9].*) rm -rf "$redis"; cp -r "$unpacked/tree" "$redis" ;;
      *) echo "flux: apt has no Redis 7 but: $version; the tests that use it are skipped" >&2 ;;
    esac
  fi
fi

command -v npm >/dev/null || exit 0
sdk=tests/sdk/js
mark=$sdk/node_modules/flux-installed
lock=$(sha256sum "$sdk/package-lock.json" | cut -d' ' -f1)
if [ "$(cat "$mark" 2>/dev/null)" != "$lock" ]; then
  echo "flux: installing the JavaScript SDK for the tests ..." >&2
  # What the packages would run on their installation is not needed.
  if ! npm ci --prefix "$sdk" --ignore-scripts --loglevel error >&2; then
    echo "flux: npm could not install what $sdk/package-lock.json names, see above" >&2
    exit 1
  fi
  echo "$lock" > "$mark"
fi
