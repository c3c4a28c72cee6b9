#!/usr/bin/env bash
nats sub --raw 'vmscaler.sample.>' |
	jq --unbuffered -r 'select(.v == 1) | . as $s | .vms[] | [$s.time, $s.host, .name, .phase, .cpu_percent // "unknown"] | @tsv'
