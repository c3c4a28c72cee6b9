#!/usr/bin/env bash
# Tries the packages, as root: test-package.sh NFPM PROGRAM. Two builds are the same bytes; systemd finds the units right and rates
# them well; and deb and rpm install, upgrade and go as they should, in a root of its own. That is this machine's, with
# all that is written kept apart, and without its services.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { echo "package: $*"; }
die() { echo "package: $*" >&2; exit 1; }

pack() { # VERSION FOLDER
	PKG_VERSION=$1 SOURCE_DATE_EPOCH=1700000000 packaging/package.sh "$nfpm" "$program" "$2" >/dev/null
}

check_builds() {
	pack 1.0.0 "$work/one"
	mkdir "$work/copy" # of another time
	cp -r packaging docs examples LICENSE "$work/copy"
	(cd "$work/copy" && pack 1.0.0 "$work/two")
	for package in "$work"/one/*; do
		cmp "$package" "$work/two/${package##*/}" || die "two builds of ${package##*/} differ"
	done
	say "two builds are the same bytes"
	pack 1.0.1 "$work/newer"
}

check_units() { # ROOT
	systemd-analyze verify --root="$1" --man=no "$1"/usr/lib/systemd/system/vmscaler*.service 2>&1 | grep vmscaler && die "units"
	for unit in packaging/systemd/*.service; do
		systemd-analyze security --offline=true --threshold=20 "$unit" | tail -1
	done
}

inside() { chroot "$root" "$@"; }

check_life() {
	root=$work/root
	mkdir "$work/write" "$root"
	mount -t tmpfs tmpfs "$work/write"
	mkdir "$work/write/upper" "$work/write/work"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$work/write/upper,workdir=$work/write/work" "$root"
	mount -t proc proc "$root/proc"
	mount --bind /dev "$root/dev"
	mount -t tmpfs tmpfs "$root/run"
	mkdir "$root/packages"
	for format in deb rpm; do
		cp "$work"/one/*."$format" "$root/packages/one.$format"
		cp "$work"/newer/*."$format" "$root/packages/newer.$format"
	done
	inside getent group libvirt >/dev/null || inside groupadd --system libvirt
	check_deb
	check_rpm
}

check_installed() {
	inside id -Gn vmscaler | grep -qw libvirt || die "its user is not in group libvirt"
	[ "$(inside stat -c '%a %U %G' /run/vmscaler)" = "2775 root libvirt" ] || die "/run/vmscaler: $(inside stat -c '%a %U %G' /run/vmscaler)"
	inside vmscaler config check --offline -c /etc/vmscaler/vmscaler.yaml
	inside bash -c '. /usr/share/bash-completion/completions/vmscaler && complete -p vmscaler >/dev/null'
	inside test -s /usr/share/man/man1/vmscaler-run.1.gz
	check_units "$root"
}

# What is to outlive an upgrade.
change() {
	echo "# mine" >>"$root/etc/vmscaler/vmscaler.yaml"
	install -d -m 0700 "$root/var/lib/vmscaler"
	touch "$root/var/lib/vmscaler/kept"
}

check_upgraded() { # VERSION
	[ "$1" = 1.0.1 ] || die "not upgraded: $1"
	grep -q '^# mine$' "$root/etc/vmscaler/vmscaler.yaml" || die "the upgrade has taken another config"
}

check_removed() { # CONFIG
	[ ! -e "$root/usr/bin/vmscaler" ] || die "the program is still there"
	if [ ! -e "$root/var/lib/vmscaler/kept" ] || ! grep -q '^# mine$' "$root/etc/vmscaler/$1"; then
		die "removal has taken the config or the state"
	fi
}

check_deb() {
	inside dpkg -i /packages/one.deb >/dev/null
	check_installed
	say "deb installed"
	change
	inside dpkg -i /packages/newer.deb >/dev/null
	# shellcheck disable=SC2016 # dpkg-query's own
	check_upgraded "$(inside dpkg-query -W -f '${Version}' vmscaler)"
	say "deb upgraded"
	inside dpkg -r vmscaler >/dev/null
	check_removed vmscaler.yaml
	say "deb removed"
	inside dpkg -P vmscaler >/dev/null
	left=$(find "$root"/etc/vmscaler "$root"/var/lib/vmscaler "$root"/run/vmscaler "$root"/usr/lib/systemd/system/vmscaler* \
		"$root"/usr/share/doc/vmscaler 2>/dev/null || true)
	[ -z "$left" ] || die "left behind: $left"
	say "deb purged"
}

# This system's packages are not rpm's, so that what the package needs is not looked for.
check_rpm() {
	inside rpm --force-debian --install --nodeps /packages/one.rpm
	check_installed
	say "rpm installed"
	change
	inside rpm --force-debian --upgrade --nodeps /packages/newer.rpm
	check_upgraded "$(inside rpm --query --queryformat '%{VERSION}' vmscaler)"
	say "rpm upgraded"
	inside rpm --force-debian --erase vmscaler 2>/dev/null
	check_removed vmscaler.yaml.rpmsave
	left=$(find "$root"/usr/lib/systemd/system/vmscaler* "$root"/usr/share/doc/vmscaler \
		"$root"/usr/share/licenses/vmscaler 2>/dev/null || true)
	[ -z "$left" ] || die "left behind: $left"
	say "rpm removed"
}

if [ "${1:-}" = --apart ]; then
	work=$2
	check_life
	exit
fi
nfpm=$(realpath "$1") program=$(realpath "$2") work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
check_builds
unshare --mount --propagation private "packaging/${0##*/}" --apart "$work"
