#!/usr/bin/env bash
# Answers hook:jobs of scale_in: a VM may go unless $JOBS has a file of its name. Needs nats and jq.
set -eu
if [ -z "${NATS_REQUEST_BODY:-}" ]; then # not called by the line below: listen
	exec nats --nkey "$(vmscaler bus credentials operator | head -n 1)" reply 'vmscaler.victims.*.jobs' --command "$0"
fi
busy=$(ls "${JOBS:-/run/jobs}")
jq -c --arg busy "$busy" \
	'($busy | split("\n")) as $names | {v: 1, vms: [.candidates[] | select(.name as $n | $names | index($n) | not) | .uuid]}' \
	<<<"$NATS_REQUEST_BODY"
