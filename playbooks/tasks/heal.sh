#!/bin/sh
# Ends the faults that a drill can leave on this host, and prints a line for each. `heal.sh rules`: only the firewall's.
set -eu

if command -v iptables-save >/dev/null; then
  rules=$(iptables-save -t filter | grep -e '--comment "\{0,1\}flux-drill' || true)
  if [ -n "$rules" ]; then
    { echo '*filter'; echo "$rules" | sed 's/^-A/-D/'; echo COMMIT; } | iptables-restore --noflush --wait
    echo "took $(echo "$rules" | wc -l) firewall rules away"
  fi
fi
[ "${1:-}" != rules ] || exit 0

cd /etc/systemd/system
for unit in *.wants/flux-*.socket *.wants/flux-*.service *.wants/redis-server.service *.wants/redis-sentinel.service; do
  # Where nothing matches, the pattern itself is what is left.
  [ -L "$unit" ] || continue
  unit=${unit##*/}
  pid=$(systemctl show --property MainPID --value "$unit")
  if [ "${pid:-0}" != 0 ] && grep -q '^State:[[:space:]]*T' "/proc/$pid/status" 2>/dev/null; then
    systemctl kill --signal=CONT --kill-whom=main "$unit"
    echo "$unit stood still: goes on"
  fi
  # While HAProxy stands in for the proxy, its timer brings the proxy back.
  case $unit in flux-proxy.*) ! systemctl is-active --quiet flux-haproxy.service || continue ;; esac
  if ! systemctl is-active --quiet "$unit"; then
    systemctl reset-failed "$unit" 2>/dev/null || true
    systemctl start "$unit"
    echo "$unit did not run: started"
  fi
done
