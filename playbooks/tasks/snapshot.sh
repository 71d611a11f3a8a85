#!/bin/sh
# Lets Redis write a snapshot, waits until it is there, and checks it. snapshot.sh PORT
# The password goes through the environment: argument lists are visible to everybody on the host.
set -eu
REDISCLI_AUTH=$(cat /etc/redis/flux-admin-password)
export REDISCLI_AUTH
ask() { redis-cli -e --user admin -h 127.0.0.1 -p "$port" "$@"; }
port=$1

before=$(ask LASTSAVE)
# LASTSAVE counts seconds: a second save within the same one could not be told from the first.
while [ "$(date +%s)" -le "$before" ]; do sleep 0.2; done
# SCHEDULE: after a rewrite of the append-only file, if one is under way.
ask BGSAVE SCHEDULE >/dev/null
deadline=$(($(date +%s) + 300))
until [ "$(ask LASTSAVE)" -gt "$before" ]; do
  if ask INFO persistence | grep -q '^rdb_last_bgsave_status:err'; then
    echo "Redis could not write the snapshot: journalctl -u redis-server -n 20; df -h /var/lib/redis" >&2
    exit 1
  fi
  if [ "$(date +%s)" -gt "$deadline" ]; then
    echo "the snapshot was not written within 300 s: journalctl -u redis-server -n 20" >&2
    exit 1
  fi
  sleep 0.2
done
if ! said=$(redis-check-rdb /var/lib/redis/dump.rdb 2>&1); then
  echo "$said" >&2
  exit 1
fi
echo "$(stat -c %s /var/lib/redis/dump.rdb) bytes, $(echo "$said" | sed -n 's/.*[^0-9]\([0-9][0-9]*\) keys read.*/\1/p') keys, checked"
