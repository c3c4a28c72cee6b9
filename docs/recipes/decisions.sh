#!/usr/bin/env bash
nats sub --raw 'vmscaler.decision.>' |
	jq --unbuffered -r 'select(.v == 1) | [.time, .group, .desired, .rule, .guard // "-", .sentence] | @tsv'
