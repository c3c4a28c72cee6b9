#!/usr/bin/env bash
# Does something for each VM that becomes ready. Needs nats and jq.
# Descriptor 3, so that your command cannot eat the next events from its input.
while IFS=$'\t' read -r -u 3 group vm host; do
	echo "$vm of group $group is ready on $host" # your command goes here
done 3< <(
	nats sub --raw 'vmscaler.lifecycle.*.*.ready' |
		jq --unbuffered -r 'select(.v == 1) | [.group, .vm, .host] | @tsv'
)
