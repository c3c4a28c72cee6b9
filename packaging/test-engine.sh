#!/usr/bin/env bash
# Runs a command that needs a Docker engine and Compose.
#
#   test-engine.sh COMMAND...
#
# An engine that answers (DOCKER_HOST, or /var/run/docker.sock) is used as it is. Where none does, a private one is started:
# its own socket and folders, no bridge, no firewall rules, and base images made here from Debian packages. It ends with the
# command, and nothing of it stays but the installed packages.
set -euo pipefail

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# What the Dockerfile starts from. The private engine gets images of these names.
base=debian:bookworm-slim
builder=golang:1.26-bookworm

say() { printf '%-10s %s\n' engine "$*"; }
die() {
	printf '%-10s %s\n' engine "$*" >&2
	exit 1
}
has_command() { command -v "$1" >/dev/null 2>&1; }
as_root() { if ((EUID == 0)); then "$@"; else sudo -n -- "$@"; fi; }
answers() { timeout 10 docker version </dev/null >/dev/null 2>&1; }
has_compose() { docker compose version >/dev/null 2>&1 || has_command docker-compose; }

require_root() {
	if ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
		die "this needs root, or a sudo that does not ask (sudo -v)"
	fi
}

install_packages() {
	local start=$SECONDS
	require_root
	has_command apt-get || die "no apt here; please install $*"
	say "to be installed with apt: $*"
	as_root apt-get -qq update || say "apt-get update failed; going on with the package lists that are there"
	as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -o DPkg::Lock::Timeout=120 \
		-qq install -y --no-install-recommends "$@" </dev/null >/dev/null || die "apt-get could not install $*"
	hash -r
	say "installed in $((SECONDS - start)) s"
}

# --- the private engine ---

dir='' # its folder

start_engine() {
	local deadline=$((SECONDS + 60))
	# A short path: a socket's may not be longer than 107 bytes. Not /tmp, which is often in memory.
	dir=$(as_root mktemp -d /var/tmp/vmscaler-engine.XXXXXX)
	as_root chmod 0711 "$dir"
	export DOCKER_HOST=unix://$dir/docker.sock
	# There is no bridge and no firewall rule of its own, so that libvirt's network is left alone: containers and builds use the
	# host's network. A session of its own: Ctrl-C here is for the command, which then still needs the engine to clean up.
	as_root packaging/host-setup.sh detach "$dir/log" dockerd --host "$DOCKER_HOST" --group "$(id -gn)" \
		--data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" --storage-driver=overlay2 \
		--iptables=false --ip6tables=false --bridge=none --ip-forward=false
	until answers; do
		if ((SECONDS >= deadline)); then
			as_root tail -n 15 "$dir/log" >&2
			die "dockerd does not answer 60 s after its start; the end of its log is above"
		fi
		sleep 0.2
	done
	# The private engine has no bridge for BuildKit to use, and the client may lack its plugin.
	export DOCKER_BUILDKIT=0
	say "a private one answers at $DOCKER_HOST"
}

engine_pid() { # nothing, if it has ended
	local pid
	pid=$(as_root cat "$dir/pid" 2>/dev/null) || return 0
	if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]; then echo "$pid"; fi
}

mounts() { awk -v dir="$dir/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r; }

stop_engine() {
	local pid mount deadline=$((SECONDS + 60))
	if [ -z "$dir" ]; then return; fi
	pid=$(engine_pid)
	if [ -n "$pid" ]; then
		as_root kill "$pid" # it stops its containers and its containerd
		while [ -n "$(engine_pid)" ]; do
			if ((SECONDS >= deadline)); then
				say "dockerd (pid $pid) does not end; its folder $dir stays" >&2
				return
			fi
			sleep 0.2
		done
	fi
	while read -r mount; do as_root umount "$mount" || as_root umount -l "$mount" || true; done < <(mounts)
	if [ -n "$(mounts)" ]; then
		say "$dir has mounts that do not go away, so it stays" >&2
		return
	fi
	as_root rm -rf --one-file-system "$dir"
	say "stopped, and its folder removed"
}

# --- its base images: a registry may be out of reach ---

make_image() { # NAME [mmdebstrap's options] -- [docker import's options]
	local name=$1 start=$SECONDS options=() log
	shift
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	log=$(mktemp "${TMPDIR:-/tmp}/vmscaler-engine.XXXXXX")
	# As in Debian's own slim image: no documents but the licences, no translations. /usr is merged from the start, or else a
	# package that merges it comes along, and Perl with it.
	as_root mmdebstrap --variant=minbase \
		--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --include=usr-is-merged \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
		"${options[@]}" bookworm - </dev/null 2>"$log" | docker import "$@" - "$name" >/dev/null || {
		tail -n 20 "$log" >&2
		rm -f "$log"
		die "$name could not be made; the end of mmdebstrap's output is above"
	}
	rm -f "$log"
	say "$name made in $((SECONDS - start)) s"
}

make_images() {
	local goroot certificates=/usr/local/share/ca-certificates hooks=()
	goroot=$(packaging/host-setup.sh exec go env GOROOT)
	make_image "$base" --
	# A machine behind a proxy of its own has that one's certificate here, and the build fetches Go modules.
	if [ -n "$(ls -A "$certificates" 2>/dev/null)" ]; then
		# shellcheck disable=SC2016 # $1 is for mmdebstrap's shell
		hooks=(--customize-hook="copy-in $certificates ${certificates%/*}" --customize-hook='chroot "$1" update-ca-certificates')
	fi
	# shellcheck disable=SC2016 # the same
	make_image "$builder" --include=gcc,libc6-dev,pkg-config,git,ca-certificates "${hooks[@]}" \
		--customize-hook='mkdir "$1/usr/local/go"' --customize-hook="sync-in $goroot /usr/local/go" \
		-- --change 'ENV GOPATH=/go GOTOOLCHAIN=local' \
		--change 'ENV PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
}

if (($# == 0)); then
	sed -n '2,/^set /{s/^# \{0,1\}//p}' "$0" >&2
	exit 2
fi

# A function, so that Bash has read all of this file before the long command runs, and a change of it then does no harm.
main() {
	local missing=()
	if ! answers; then
		# An engine that somebody named must answer; to start another one instead would be a surprise.
		if [ -n "${DOCKER_HOST:-}" ]; then die "nothing answers at DOCKER_HOST=$DOCKER_HOST"; fi
		if ! has_command dockerd; then missing+=(docker.io); fi
		if ! has_command mmdebstrap; then missing+=(mmdebstrap debian-archive-keyring); fi
		if ! has_compose; then missing+=(docker-compose); fi
		if ((${#missing[@]})); then install_packages "${missing[@]}"; fi
	elif ! has_compose; then
		install_packages docker-compose
	fi

	# The package may have started one.
	if answers; then
		say "using the one that answers${DOCKER_HOST:+ at $DOCKER_HOST}"
	else
		require_root
		trap stop_engine EXIT
		trap 'exit 130' INT
		trap 'exit 143' TERM
		start_engine
		make_images
	fi
	"$@"
}

main "$@"
