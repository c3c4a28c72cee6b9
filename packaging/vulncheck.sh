#!/usr/bin/env bash
# Looks for known vulnerabilities that the program can reach: vulncheck.sh GOVULNCHECK. The database is Go's own at vuln.go.dev, or
# VULN_DB's; where that is not reached, the module that it is made from, which the module proxy has.
set -euo pipefail
cd "$(dirname "$0")/.."
govulncheck=$(realpath "$1")

db=${VULN_DB:-https://vuln.go.dev}
if [ -z "${VULN_DB:-}" ] && ! curl --silent --fail --max-time 10 --output /dev/null "$db/index/db.json"; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	module=$(cd "$work" && GOFLAGS='' go mod download -json golang.org/x/vulndb@latest)
	dir=$(sed -n 's/^\t"Dir": "\(.*\)",$/\1/p' <<<"$module")
	echo "vulncheck  $db is not reached; in its place $(sed -n 's/^\t"Version": "\(.*\)",$/golang.org\/x\/vulndb \1/p' <<<"$module")"
	(cd "$dir" && GOFLAGS=-mod=readonly go build -o "$work/indexdb" ./cmd/indexdb)
	"$work/indexdb" -vulns "$dir/data/osv" -out "$work/db"
	db=file://$work/db
fi
"$govulncheck" -db "$db" ./...
