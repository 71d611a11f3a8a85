"""Test hosts: real systemd machines in seconds, booted by systemd-nspawn from one shared root file system.

    machine   one host: overlay on the base, network namespace, cgroups, boot, ssh
    base      the root file system that all hosts of a suite share, built once
    network   the bridge 10.42.0.1/24, the hosts' ends, and the way to Debian's mirror
    cgroups   what a machine with the v1 controllers needs on top
    lab       all hosts: addresses, start and end of several at once

From a shell, as root: `python -m tests.hosts up gw1 gw2`, `... exec gw1 systemctl`, `... down gw1 gw2`.
"""
