#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors

# What test_package.py has run in a machine of its own: installs, starts, upgrades and purges the package. `say ok NAME` and `say no NAME`
# are its cases, in /results.
exec >/output 2>&1
set -x
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
db=sqlite:/var/lib/ioledger/ioledger.db

say()
{
    echo "$@" >>/results
}

# check NAME CMD...
check()
{
    name=$1
    shift
    if "$@"; then say ok "$name"; else say no "$name"; fi
}

# wait_for CMD...    for 30 seconds at most
wait_for()
{
    left=300
    while ! "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 0.1
    done
}

property()
{
    systemctl show -p "$1" --value ioledger
}

is_active()
{
    [ "$(property ActiveState)" = active ]
}

reads_of()
{
    sqlite3 "file:/var/lib/ioledger/ioledger.db?mode=ro" "select coalesce(sum(read_ops), 0) from io_named where comm = 'dd' and path = '$1'"
}

has_reads()
{
    [ "$(reads_of "$1")" = "$2" ]
}

# read_file FILE N     N reads of a byte
read_file()
{
    dd if="$1" of=/dev/null bs=1 count="$2" status=none
}

is_gone()
{
    [ ! -e "$1" ]
}

serves()
{
    curl -sSf http://127.0.0.1:9464/metrics | grep -q "$1"
}

restarted()
{
    is_active && [ "$(property MainPID)" != "$1" ]
}

mkdir /data
chmod 700 /data
for name in first second third fourth; do
    head -c 100000 /dev/zero >/data/$name
done

# Installed
check 'installed' dpkg -i /packages/old.deb
check 'its user is there' getent passwd ioledger
check 'nothing is recorded before somebody wants it' [ "$(property ActiveState)" = inactive ]
cp /usr/bin/ioledger /ioledger

# Started
check 'the service starts' systemctl enable --now ioledger
check 'it runs as its user' [ "$(stat -c %U "/proc/$(property MainPID)")" = ioledger ]
check 'its capabilities are the four' grep -qx "CapEff:.000000c000080004" "/proc/$(property MainPID)/status"
check 'status finds it' ioledger status
read_file /data/first 1234
check 'what only root may read is in the ledger' wait_for has_reads /data/first 1234
check 'systemd shows how it does' wait_for sh -c 'systemctl show -p StatusText --value ioledger | grep -q "ops/s"'

# Reloaded, and configured anew
echo 'ignore = /data/second' >>/etc/ioledger/ioledger.conf
check 'it reloads' systemctl reload ioledger
read_file /data/second 10
read_file /data/first 1
check 'the new rules are in force' wait_for has_reads /data/first 1235
check '… of what is left out there is nothing' has_reads /data/second 0
printf 'metrics = 9464\npin = /sys/fs/bpf/ioledger\n' >>/etc/ioledger/ioledger.conf
check 'it restarts' systemctl restart ioledger
check 'it serves metrics' wait_for serves '^ioledger_operations_total{route="rw",direction="read"} [1-9]'
check 'what it counts is pinned' [ -e /sys/fs/bpf/ioledger/about ]

# It hangs
mkdir -p /etc/systemd/system/ioledger.service.d
printf '[Service]\nWatchdogSec=2s\nRestartSec=100ms\nWatchdogSignal=SIGKILL\n' >/etc/systemd/system/ioledger.service.d/test.conf
systemctl daemon-reload
systemctl restart ioledger
pid=$(property MainPID)
kill -STOP "$pid"
read_file /data/third 777
check 'systemd restarts it when it hangs' wait_for restarted "$pid"
check 'what was read meanwhile is in the ledger' wait_for has_reads /data/third 777

# Upgraded, while a file is read
pid=$(property MainPID)
(
    for _ in $(seq 100); do
        read_file /data/fourth 10
    done
    touch /read
) &
check 'upgraded' dpkg -i /packages/new.deb
check 'the configuration is as it was' grep -qx 'metrics = 9464' /etc/ioledger/ioledger.conf
check 'it goes on recording' wait_for restarted "$pid"
check 'and serves metrics' wait_for serves '^ioledger_build_info'
wait_for [ -e /read ]
check 'no read is lost, and none is in the ledger twice' wait_for has_reads /data/fourth 1000

# Removed and purged
systemctl stop ioledger
check 'a service that is stopped goes on counting, as it was told to' [ -e /sys/fs/bpf/ioledger/about ]
read_file /data/first 1
check 'removed' dpkg -r ioledger
check 'nothing of it is left in the kernel' is_gone /sys/fs/bpf/ioledger/about
check 'the ledger is complete' has_reads /data/first 1236
check 'the books balance' /ioledger balance --db "$db"
check 'its configuration is kept' [ -e /etc/ioledger/ioledger.conf ]
check 'purged' dpkg -P ioledger
for path in /etc/ioledger /var/lib/ioledger /run/ioledger /sys/fs/bpf/ioledger /usr/bin/ioledger /lib/systemd/system/ioledger.service \
    /etc/systemd/system/multi-user.target.wants/ioledger.service; do
    check "$path is gone" is_gone "$path"
done
journalctl -u ioledger --no-pager | tail -n 100
say end
