#!/bin/sh
# deb: configure [OLD VERSION]; rpm: how many versions are installed then. VMs are left as they are.
set -e
case "$1" in
configure | [0-9]*) ;;
*) exit 0 ;;
esac
if command -v systemd-sysusers >/dev/null; then systemd-sysusers vmscaler.conf; fi
if command -v systemd-tmpfiles >/dev/null; then systemd-tmpfiles --create vmscaler.conf; fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# What runs goes on as the new version; what does not run is not started.
	systemctl try-restart 'vmscaler*.service'
fi
