#!/usr/bin/env bash
# Makes the deb and the rpm of a program that is built: package.sh NFPM PROGRAM FOLDER. Two calls with the same program and commit
# give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
nfpm=$1 program=$(realpath "$2") out=$3

ARCH=${ARCH:-$(go env GOARCH)}
case $ARCH in
arm64) QEMU=qemu-system-arm ;;
*) QEMU=qemu-system-x86 ;;
esac
# Without a tag the commit's time makes a later version the higher one.
commit_time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
describe=$(git describe --tags --match 'v[0-9]*' --always 2>/dev/null || echo unknown)
case "${PKG_VERSION:+set}$describe" in
set*) ;;
v[0-9]*) PKG_VERSION=$(printf '%s' "${describe#v}" | sed 's/-\([0-9]*\)-g/+\1.g/') ;;
*) PKG_VERSION=0.0.0+$(date -u -d "@$commit_time" +%Y%m%d%H%M%S).$describe ;;
esac
MTIME=$(date -u -d "@$commit_time" +%Y-%m-%dT%H:%M:%SZ)
STAGE=$(mktemp -d)
trap 'rm -rf "$STAGE"' EXIT
export ARCH QEMU PKG_VERSION MTIME STAGE SOURCE_DATE_EPOCH=$commit_time

install -m 0755 "$program" "$STAGE/vmscaler"
cp packaging/nfpm.yaml "$STAGE/nfpm.yaml"
speaks=${SPEAKS:-$program} # one that runs here, where the program is of another architecture
for shell in bash zsh fish; do "$speaks" completion "$shell" >"$STAGE/completion.$shell"; done
mkdir "$STAGE/man"
"$speaks" man "$STAGE/man" --date "${MTIME%%T*}"
gzip -9n "$STAGE"/man/*
# nfpm fills in variables in some fields only.
sed -i "s|\${STAGE}|$STAGE|g; s|\${ARCH}|$ARCH|g; s|\${QEMU}|$QEMU|g; s|\${PKG_VERSION}|$PKG_VERSION|g; s|\${MTIME}|$MTIME|g" "$STAGE/nfpm.yaml"
mkdir -p "$out"
for packager in ${PACKAGERS:-deb rpm}; do "$nfpm" package --config "$STAGE/nfpm.yaml" --packager "$packager" --target "$out" >/dev/null; done
ls "$out"/*
