#!/usr/bin/env bash
# Builds the program for another architecture of Debian's: cross.sh ARCH OUTPUT GO BUILD'S ARGUMENTS...
#
# libvirt's library and headers are that architecture's packages of Debian 12, extracted, not installed, below
# /var/tmp/vmscaler-cross-UID (100 MB), where they stay for the next time.
set -euo pipefail
cd "$(dirname "$0")/.."
die() { echo "cross      $*" >&2; exit 1; }

arch=$1 output=$2
shift 2
case $arch in
arm64) triple=aarch64-linux-gnu ;;
amd64) triple=x86_64-linux-gnu ;;
*) die "no cross compiler is known for architecture '$arch'; there are arm64 and amd64" ;;
esac
suite=bookworm # the oldest whose libvirt the program is tried with
mirror=${DISTRO_MIRROR:-http://deb.debian.org/debian}

base=${CROSS_ROOT:-/var/tmp/vmscaler-cross-$EUID}
root=$base/$suite-$arch
mkdir -p "$base"
[ -O "$base" ] || die "$base is another user's; CROSS_ROOT names a folder of yours"
if [ ! -e "$root/usr/lib/$triple/libvirt.so" ]; then
	rm -rf --one-file-system "$root" "$root.new" # what an end in the middle of it has left
	echo "cross      fetching libvirt of $suite for $arch"
	mode=auto
	((EUID == 0)) || mode=chrootless # as nothing of it is run, no rights are needed
	mmdebstrap --quiet --mode="$mode" --variant=extract --architectures="$arch" --include=libvirt-dev,libc6 "$suite" "$root.new" \
		"deb [check-valid-until=no signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
	mv "$root.new" "$root"
fi

# What libvirt's library itself needs is not looked for: it is there where the program runs.
PKG_CONFIG_LIBDIR=$root/usr/lib/$triple/pkgconfig:$root/usr/share/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root \
	CGO_ENABLED=1 GOARCH=$arch CC=$triple-gcc CGO_LDFLAGS="-L$root/usr/lib/$triple -Wl,--allow-shlib-undefined" \
	go build -o "$output" "$@" ./cmd/vmscaler
