#!/bin/sh
# deb: remove, purge, ...; rpm: how many versions are left. VMs, templates and pools are never removed: `vmscaler down GROUP`
# does that before.
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
if [ "$1" = purge ]; then
	rm -rf /var/lib/vmscaler /var/log/vmscaler /run/vmscaler
fi
