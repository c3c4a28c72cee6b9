#!/usr/bin/env bash
# Makes the packages and the bill of materials of one architecture: release.sh NFPM CYCLONEDX ARCH VERSION FOLDER.
set -euo pipefail
cd "$(dirname "$0")/.."
nfpm=$1 cyclonedx=$2 arch=$3 version=$4 out=$5

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
program=$work/vmscaler
flags=(-trimpath -buildvcs=false -ldflags "-s -w -X main.version=$version")
if [ "$arch" = "$(go env GOHOSTARCH)" ]; then
	go build -o "$program" "${flags[@]}" ./cmd/vmscaler
	speaks=$program
else
	packaging/cross.sh "$arch" "$program" "${flags[@]}"
	speaks=$work/native
	go build -o "$speaks" "${flags[@]}" ./cmd/vmscaler
fi
echo "release    $arch: $(go env GOVERSION), $(stat -c %s "$program") bytes"
ARCH=$arch SPEAKS=$speaks packaging/package.sh "$nfpm" "$program" "$out"
"$cyclonedx" bin -json -noserial -version "$version" -output "$out/vmscaler-$arch.cdx.json" "$program"
