#!/bin/sh
# deb: remove, upgrade, ...; rpm: how many versions are left. The VMs keep running.
set -e
case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl disable --now vmscaler.service vmscaler-bus.service vmscaler-collector.service vmscaler-decider.service \
		vmscaler-actuator.service vmscaler-agent.service vmscaler-web.service || true
fi
