#!/bin/sh
# What of the cluster is on this host and how it does. Status 1 when a unit has failed, or is enabled and does not run.
set -u
cd /etc/systemd/system
ill=0
echo "release $(basename "$(readlink /opt/flux-gateway/current || echo none)"), up since $(uptime -s 2>/dev/null || echo '?')"
units=$(ls -d *.wants/flux-*.socket *.wants/flux-*.service *.wants/redis-server.service *.wants/redis-sentinel.service \
  *.wants/keepalived.service 2>/dev/null | sed 's,.*/,,' | sort -u)
failed=$(systemctl list-units --plain --no-legend --state=failed 'flux-*' 'redis-*' 'keepalived*' | cut -d' ' -f1)
for unit in $(echo "$units $failed flux-haproxy.service" | tr ' ' '\n' | sort -u); do
  state=$(systemctl show --property ActiveState --value "$unit")
  since=$(systemctl show --property StateChangeTimestamp --value "$unit")
  restarts=$(systemctl show --property NRestarts --value "$unit")
  case $unit in
    flux-haproxy.service) [ "$state" != active ] || echo "$unit active since $since: it stands in for the proxy"; continue ;;
    flux-firewall.service) echo "$unit $state"; continue ;;
  esac
  echo "$unit $state since $since${restarts:+, restarted $restarts times}"
  [ "$state" = active ] || ill=1
done
exit $ill
