#!/usr/bin/env bash
# Tries the deb under a real systemd, as root: test-service.sh NFPM PROGRAM. A Debian root with libvirt, kept below /var/tmp for the
# next time, is booted as a container. In it the package is installed and started, its page read, its group scaled by hand and by
# load; it is reloaded, upgraded while VMs run, removed and purged. TEMPLATE is the demo template's file, else the one that
# `make template` has made.
set -euo pipefail
cd "$(dirname "$0")/.."
nfpm=$(realpath "$1") program=$(realpath "$2")
template=${TEMPLATE:-$(virsh -c qemu:///system vol-path template-demo.qcow2 --pool vmscaler 2>/dev/null || true)}
if [ ! -r "$template" ]; then
	echo "service: there is no demo template here; make it with \`make template\`, or name its file with TEMPLATE" >&2
	exit 1
fi
release=${RELEASE:-bookworm} # of Debian
base=/var/tmp/vmscaler-service/$release
work=$(mktemp -d /var/tmp/vmscaler-service.XXXXXX)
say() { echo "service: $*"; }
die() {
	echo "service: $*" >&2
	inside journalctl -u vmscaler --no-pager -n 30 >&2 || true
	exit 1
}

booted='' leader=''
inside() { nsenter -t "$leader" -a "$@"; }
finish() {
	if [ -n "$leader" ]; then inside systemctl poweroff --no-block || true; fi
	if [ -n "$booted" ]; then
		for _ in $(seq 60); do kill -0 "$booted" 2>/dev/null && sleep 1; done
		kill "$booted" 2>/dev/null || true
		wait "$booted" || true
	fi
	rm -rf "$work"
}
trap finish EXIT

make_root() {
	[ -e "$base.made" ] && return
	say "making a root of Debian $release with systemd and libvirt"
	rm -rf "$base"
	mkdir -p "${base%/*}"
	mmdebstrap --quiet --variant=minbase --include="systemd,systemd-sysv,dbus,polkitd,libvirt-daemon-system,libvirt-daemon-driver-qemu,\
libvirt-clients,qemu-system-x86,qemu-utils,procps,iproute2,dnsmasq-base,iptables" "$release" "$base"
	# The container's cgroups are not its own.
	echo 'cgroup_controllers = [ ]' >>"$base/etc/libvirt/qemu.conf"
	touch "$base.made"
}

boot() {
	cp -a "$base" "$work/root"
	for version in 1.0.0 1.0.1; do
		PKG_VERSION=$version PACKAGERS=deb packaging/package.sh "$nfpm" "$program" "$work/root/packages" >/dev/null
	done
	cp "$template" "$work/root/packages/demo.qcow2"
	systemd-nspawn --quiet -D "$work/root" --boot --register=no --keep-unit --private-network --capability=all \
		--machine "vmscaler-$$" </dev/null >"$work/console" 2>&1 &
	booted=$!
	for _ in $(seq 120); do
		leader=$(pgrep -P "$booted" || true)
		if [ -n "$leader" ] && inside systemctl is-active --quiet libvirtd 2>/dev/null; then return; fi
		sleep 1
	done
	tail -5 "$work/console" >&2
	die "the container does not boot"
}

uuids() { inside virsh list --uuid | sort | tr -d '\n'; }

make_root
boot
say "booted"
inside dpkg -i /packages/vmscaler_1.0.0_amd64.deb >/dev/null
config=/etc/vmscaler/vmscaler.yaml
# The container has no network beyond its own.
inside virsh -q pool-define-as vmscaler dir --target /var/lib/libvirt/images/vmscaler
inside virsh -q pool-build vmscaler
inside virsh -q pool-start vmscaler
inside vmscaler template import demo /packages/demo.qcow2 -c $config
inside vmscaler setup -c $config
inside systemctl start vmscaler || die "it does not start"
[ "$(inside systemctl show -p User --value vmscaler)" = vmscaler ] || die "it runs as another user"
inside vmscaler wait autoscale ready=1 --timeout 4m || die "no VM"
inside vmscaler scale autoscale 2 --wait --timeout 4m || die "not scaled"
say "started and scaled: $(inside systemctl show -p StatusText --value vmscaler)"

# shellcheck disable=SC2016 # the shell inside reads it
page=$(inside bash -c 'exec 3<>/dev/tcp/127.0.0.1/9464 && printf "GET / HTTP/1.0\r\nHost: 127.0.0.1:9464\r\n\r\n" >&3 && cat <&3')
grep -q '<title>vmscaler' <<<"$page" || die "there is no page"
inside vmscaler load autoscale --for 3m >/dev/null &
load=$!
inside vmscaler scale autoscale --release || die "not left to the policy"
inside vmscaler wait autoscale ready=3 --timeout 3m || die "it does not grow under load"
kill "$load" 2>/dev/null || true
wait "$load" || true
inside vmscaler scale autoscale 2 --wait --timeout 4m || die "not scaled back"
say "grown under load, with its page open"

before=$(uuids)
sed -i 's/max: 5/max: 0/' "$work/root$config"
if inside systemctl reload vmscaler; then die "a config that is wrong was reloaded"; fi
sed -i 's/max: 0/max: 7/' "$work/root$config"
inside systemctl reload vmscaler || die "not reloaded"
for _ in $(seq 30); do
	if inside vmscaler status | grep -q 'max 7'; then break; fi
	sleep 1
done
inside vmscaler status | grep -q 'max 7' || die "the reload has changed nothing"
say "reloaded"

inside dpkg -i /packages/vmscaler_1.0.1_amd64.deb >/dev/null
inside systemctl is-active --quiet vmscaler || die "it does not run after the upgrade"
inside vmscaler wait autoscale ready=2 --timeout 2m || die "the VMs are not taken over"
[ "$(uuids)" = "$before" ] || die "other VMs run than before the upgrade"
say "upgraded while VMs ran"

inside dpkg -r vmscaler >/dev/null
[ "$(uuids)" = "$before" ] || die "removing the package has touched VMs"
inside dpkg -P vmscaler >/dev/null
[ ! -e "$work/root/var/lib/vmscaler" ] || die "purging has left the state"
[ "$(uuids)" = "$before" ] || die "purging the package has touched VMs"
say "removed and purged; the VMs run on"
