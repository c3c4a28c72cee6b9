#!/usr/bin/env bash
# Builds Traefik from the sources of its Go module, as no package of Debian has it: build-traefik.sh VERSION FILE. Its module has
# replacements, so that `go install` refuses it. Left out are its own web page, and the DNS providers of ACME: they are most of it.
set -euo pipefail
version=$1 file=$(realpath -m "$2")
work=$(mktemp -d "${TMPDIR:-/tmp}/vmscaler-traefik.XXXXXX")
trap 'rm -rf "$work"' EXIT
source=$(cd "$work" && go mod download -json "github.com/traefik/traefik/v3@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
cp -r "$source/." "$work/source"
chmod -R u+w "$work/source"
cd "$work/source"
mkdir -p webui/static
touch webui/static/index.html
sed -i -e '/lego\/v4\/providers\/dns"/d' -e 's/dns\.NewDNSChallengeProviderByName([^)]*)/nil, errors.New("left out of this build")/' \
	pkg/provider/acme/provider.go
go build -v -mod=mod -trimpath -buildvcs=false -ldflags '-s -w' -o "$file" ./cmd/traefik
