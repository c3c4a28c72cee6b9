#!/usr/bin/env bash
# What there is before there is an autoscaler, as a rival in benchmarks: the CPU of one VM after the other by virsh, a second each,
# then their mean, and three seconds of sleep. It says what it would do, and does nothing.
# Usage: loop.sh URI LOWER UPPER DOMAIN...
set -u
uri=$1 lower=$2 upper=$3
shift 3
counter() { virsh -c "$uri" domstats "$1" --cpu-total | awk -F= '/cpu.time/ { print $2 }'; }
while true; do
	sum=0
	for vm; do
		before=$(counter "$vm") from=$(date +%s%N)
		sleep 1
		after=$(counter "$vm") to=$(date +%s%N)
		percent=$((100 * (after - before) / (to - from)))
		sum=$((sum + (percent > 100 ? 100 : percent)))
	done
	average=$((sum / $#))
	if [ "$average" -gt "$upper" ]; then
		echo "out: $average %"
	elif [ "$average" -lt "$lower" ]; then
		echo "in: $average %"
	else
		echo "hold: $average %"
	fi
	sleep 3
done
