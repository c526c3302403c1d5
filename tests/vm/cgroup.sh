#!/bin/bash
# Is the machine what the other tests take it for? Pure cgroup v2, an exact memory wall, an OOM kill that is counted, and
# nothing left after cgroup.kill.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
cc -std=gnu11 -O2 -static -o "$work/leaker" "$here/../apps/leaker.c"
cc -std=gnu11 -O2 -static -o "$work/forker" "$here/../apps/forker.c"

group=/sys/fs/cgroup/vm-check
mkdir "$group"
echo 20M > "$group/memory.max"
echo 0 > "$group/memory.swap.max" 2>/dev/null || true
echo 1 > "$group/memory.oom.group"
echo 50 > "$group/pids.max"

status=0
bash -c 'echo 0 > "$0/cgroup.procs"; exec "$1" 100 "file=$2"' "$group" "$work/leaker" "$work/steps" || status=$?
got=$(grep -c step "$work/steps")
echo "leaker: status $status after $got MiB of 20; $(grep -w oom_kill "$group/memory.events")"
[[ $status == 137 ]]
[[ $got -ge 15 && $got -le 20 ]]
# With memory.oom.group a 6.1 kernel counts the process that it chose twice, and the group once.
grep -qx 'oom_group_kill 1' "$group/memory.events"

mkfifo "$work/forked"
bash -c 'echo 0 > "$0/cgroup.procs"; exec "$1" 10000' "$group" "$work/forker" > "$work/forked" &
read -r -t 30 children < "$work/forked"
echo "forker: $children, pids.current $(cat "$group/pids.current") of 50"
[[ $(cat "$group/pids.current") == 50 ]]
echo 1 > "$group/cgroup.kill"
wait 2>/dev/null || true
until grep -qx 'populated 0' "$group/cgroup.events"; do :; done
rmdir "$group"
rm -rf "$work"
echo "kernel $(uname -r), cgroup v2: $(cat /sys/fs/cgroup/cgroup.controllers)"
