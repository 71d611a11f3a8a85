#!/bin/sh
# Waits until the proxy is connected to its keeper's socket. keeper_met.sh SOCKET
# 5 s at most: a proxy of an earlier release has no keeper and never comes.
systemctl is-active --quiet flux-proxy.service || exit 0
for attempt in $(seq 50); do
  # Without -l only connections are listed, not the listener itself.
  ! ss --unix --no-header | grep -qF " $1 " || exit 0
  sleep 0.1
done
echo "the proxy is not connected to $1"
