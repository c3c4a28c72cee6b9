#!/usr/bin/env bash
# Prepares a Debian or Ubuntu machine for vmscaler. The Makefile calls it; every step looks first and changes only what is missing.
#
#   host-setup.sh packages SET                    install the missing packages, and check Go: run, build, test, bench, lint, package, release, distro, service or image
#   host-setup.sh names SET                       the packages' names
#   host-setup.sh libvirt                         make sure that libvirt answers this user
#   host-setup.sh exec COMMAND...                 run COMMAND with the right Go
#   host-setup.sh quietly STEP RESULT COMMAND...  the same, with a line of progress instead of its output
#   host-setup.sh as-libvirt COMMAND...           the same, allowed to use libvirt
#   host-setup.sh vmscaler SUBCOMMAND...          libvirt, and then vmscaler SUBCOMMAND
set -euo pipefail

self=$(readlink -f "${BASH_SOURCE[0]}")
cd "$(dirname "$self")/.."

# Debian leaves sbin out of a normal user's PATH; libvirtd, mke2fs and sfdisk live there.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
# Go wants a home directory for its caches, and a bare CI job may have none.
export HOME="${HOME:-$(getent passwd "$EUID" | cut -d: -f6)}"

system_uri=qemu:///system

# Asked once: later steps redirect stdin.
interactive=no
if [ -t 0 ]; then interactive=yes; fi

say() { printf '%-10s %s\n' "$1" "$2"; }
die() { # STEP MESSAGE [LINE...]: the lines are what to do
	printf '%-10s %s\n' "$1" "$2" >&2
	shift 2
	if (($#)); then printf '  %s\n' "$@" >&2; fi
	exit 1
}

has_systemd() { [ -d /run/systemd/system ]; }
has_command() { command -v "$1" >/dev/null 2>&1; }
at_least() { printf '%s\n%s\n' "$2" "$1" | sort -V -C; } # VERSION MINIMUM

# --- root ---

as_root() {
	if ((EUID == 0)); then
		"$@"
	elif [ "$interactive" = yes ]; then
		sudo -- "$@"
	else
		sudo -n -- "$@"
	fi
}

# How a person would type a command that needs root.
root_line() { if ((EUID == 0)); then printf '%s' "$*"; else printf 'sudo %s' "$*"; fi; }

# Stops with the commands to type where there is no way to become root.
require_root() { # STEP COMMAND...
	local step=$1 line lines=()
	shift
	if ((EUID == 0)); then return; fi
	if ! has_command sudo; then
		die "$step" "this needs root, and there is no sudo; as root, run" "$@"
	fi
	if [ "$interactive" = no ] && ! sudo -n true 2>/dev/null; then
		for line in "$@"; do lines+=("sudo $line"); done
		die "$step" "this needs root, and sudo refuses without a password and a terminal to ask for it; run" "${lines[@]}"
	fi
}

# --- packages ---

packages_for() {
	case $1 in
	# libvirt-daemon only recommends its QEMU driver in some releases, so it is named; with --no-install-recommends
	# nothing graphical comes along.
	"run VMs")
		echo libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base iptables
		# Where no init reaps orphans promptly, libvirtd runs under tini; see start_by_hand.
		if ! has_systemd; then echo tini; fi
		;;
	"build") echo gcc libc6-dev pkg-config libvirt-dev git make ca-certificates ;;
	"make the template") echo syslinux syslinux-common mtools dosfstools fdisk cpio e2fsprogs zstd xz-utils ;;
	"test") echo tmux openssl ovmf syslinux-efi xorriso isolinux chromium openssh-client bash-completion zsh fish ;;
	"compare") echo virtinst ;;
	"lint") echo shellcheck ;;
	"try packages") echo rpm ;;
	"build for another architecture")
		if [ "$(dpkg --print-architecture)" = arm64 ]; then echo gcc-x86-64-linux-gnu; else echo gcc-aarch64-linux-gnu; fi
		;;
	"make a root of another system") echo mmdebstrap debian-archive-keyring ;;
	"boot a container") echo systemd-container ;;
	esac
}

purposes=()
find_purposes() { # SET
	case $1 in
	run) purposes=("run VMs" "build" "make the template") ;;
	build) purposes=("build") ;;
	test) purposes=("run VMs" "build" "make the template" "test") ;;
	bench) purposes=("run VMs" "build" "compare") ;;
	lint) purposes=("build" "lint") ;;
	package) purposes=("build" "try packages") ;;
	release) purposes=("build" "make a root of another system" "build for another architecture") ;;
	distro) purposes=("build" "make a root of another system") ;;
	service) purposes=("run VMs" "build" "make a root of another system" "boot a container") ;;
	image) purposes=("run VMs" "build" "make the template" "make a root of another system") ;;
	*) die packages "no such set: $1; there are run, build, test, bench, lint, package, release, distro, service and image" ;;
	esac
}

names() { # SET
	local purpose
	find_purposes "$1"
	for purpose in "${purposes[@]}"; do packages_for "$purpose"; done | tr ' ' '\n'
}

missing_of() { # PACKAGE...
	local present
	present=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null | sed -n 's/ installed$//p' || true)
	# shellcheck disable=SC2086 # one name a line
	comm -23 <(printf '%s\n' "$@" | sort -u) <(printf '%s\n' $present | sort -u)
}

# The newest output line of a long command: in place on a terminal, else now and then as a line of its own.
watch_log() { # STEP LOG
	local start=$SECONDS line pause=10
	if [ -t 1 ]; then pause=1; fi
	while sleep "$pause"; do
		line=$(tail -n 1 "$2" | tr -d '\r')
		# Silent until there is output, so as not to write over sudo's question.
		if [ -z "$line" ]; then continue; fi
		if [ -t 1 ]; then
			printf '\r%-10s %3d s  %.58s\033[K' "$1" $((SECONDS - start)) "$line"
		else
			printf '%-10s %3d s  %s\n' "$1" $((SECONDS - start)) "$line"
		fi
	done
}

with_progress() { # STEP LOG COMMAND...
	local step=$1 log=$2 rc=0
	shift 2
	watch_log "$step" "$log" &
	watcher=$!
	trap 'kill "$watcher" 2>/dev/null || true' EXIT
	"$@" >>"$log" 2>&1 </dev/null || rc=$?
	kill "$watcher" 2>/dev/null || true
	wait "$watcher" 2>/dev/null || true
	trap - EXIT
	if [ -t 1 ]; then printf '\r\033[K'; fi
	return "$rc"
}

apt() { as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -o DPkg::Lock::Timeout=120 "$@"; }

step_packages() { # SET
	local purpose need lines=() missing=() all=() names
	find_purposes "${1:-run}"

	if ! has_command dpkg-query || ! has_command apt-get; then
		names=$(names "${1:-run}" | tr '\n' ' ')
		say packages "no apt here, so nothing is installed; needed are what Debian calls ${names% }"
		use_go
		return
	fi

	for purpose in "${purposes[@]}"; do
		read -r -d '' -a need < <(packages_for "$purpose") || true
		all+=("${need[@]}")
		mapfile -t need < <(missing_of "${need[@]}")
		if ((${#need[@]})); then
			missing+=("${need[@]}")
			lines+=("to $purpose: ${need[*]}")
		fi
	done
	find_go
	if [ -z "$go" ]; then lines+=("to build: Go $go_wanted, or 1.21 and later, which fetches it"); fi

	if ((${#lines[@]} == 0)); then
		say packages "all ${#all[@]} are there, and Go $go_version ($go)"
		return
	fi

	say packages "to be installed with apt:"
	printf '  %s\n' "${lines[@]}"
	require_root packages "apt-get update" "apt-get install -y --no-install-recommends ${missing[*]}"

	local log
	log=$(mktemp "${TMPDIR:-/tmp}/vmscaler-apt.XXXXXX")
	# One unreachable source makes update fail although the rest is there; install is the judge.
	with_progress packages "$log" apt update || say packages "apt-get update failed; going on with the package lists that are there"
	if [ -z "$go" ]; then
		names=$(go_package)
		if [ -z "$names" ]; then
			rm -f "$log"
			go_remedy
		fi
		missing+=("$names")
	fi
	local start=$SECONDS
	if ! with_progress packages "$log" apt install -y --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}"; then
		tail -n 20 "$log" >&2
		die packages "apt-get failed (its end is above, all of it in $log); put that right, or run" \
			"$(root_line apt-get update)" "$(root_line apt-get install -y --no-install-recommends "${missing[*]}")"
	fi
	rm -f "$log"
	use_go
	say packages "${#missing[@]} installed in $((SECONDS - start)) s; Go $go_version ($go)"
}

step_quietly() { # STEP RESULT COMMAND...
	local step=$1 result=$2 log
	shift 2
	log=$(mktemp "${TMPDIR:-/tmp}/vmscaler-$step.XXXXXX")
	if ! with_progress "$step" "$log" "$@"; then
		cat "$log" >&2
		rm -f "$log"
		die "$step" "this failed, see above: $*"
	fi
	rm -f "$log"
	say "$step" "$result"
}

# --- Go ---

go_wanted=$(awk '$1 == "go" { print $2; exit }' go.mod)
go='' go_version=''

# Outside the module, and with what it has: else Go answers for the toolchain that it would fetch.
local_version() { (cd / && GOTOOLCHAIN=local "$1" version 2>/dev/null) | sed -n 's/.*go\(1\.[0-9.]*[0-9]\).*/\1/p'; }

# Takes the first Go that is new enough, else the first that can fetch a newer one by itself (1.21 and later).
find_go() {
	local candidate version found=()
	mapfile -t found < <(
		command -v go || true
		echo /usr/local/go/bin/go
		printf '%s\n' /usr/lib/go-1.*/bin/go | sort -V -r
	)
	go='' go_version=''
	for candidate in "${found[@]}"; do
		if [ ! -x "$candidate" ]; then continue; fi
		version=$(local_version "$candidate" || true)
		if [ -z "$version" ] || ! at_least "$version" 1.21; then continue; fi
		if [ -z "$go" ] || { ! at_least "$go_version" "$go_wanted" && at_least "$version" "$go_wanted"; }; then
			go=$candidate go_version=$version
		fi
	done
}

use_go() {
	find_go
	if [ -z "$go" ]; then go_remedy; fi
	export PATH="${go%/*}:$PATH"
	# Some distributions switch the fetching of toolchains off; this Go cannot build vmscaler without it.
	if ! at_least "$go_version" "$go_wanted" && [ "$(cd / && "$go" env GOTOOLCHAIN)" = local ]; then
		export GOTOOLCHAIN=auto
	fi
}

# The package with the best Go of 1.21 or later, or nothing.
go_package() {
	local name version
	for name in golang-go golang-1.{29,28,27,26,25,24,23,22,21}-go; do
		version=$(LC_ALL=C apt-cache policy "$name" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9]*:\)\{0,1\}\([0-9][0-9.]*\).*/\2/p')
		if [ -n "$version" ] && at_least "$version" 1.21; then
			echo "$name"
			return
		fi
	done
}

go_remedy() {
	local archive
	archive=go$go_wanted.linux-$(dpkg --print-architecture 2>/dev/null || echo amd64).tar.gz
	local fetch="wget https://go.dev/dl/$archive"
	if ! has_command wget; then fetch="curl -fLO https://go.dev/dl/$archive"; fi
	if ! has_command wget && ! has_command curl; then
		fetch="$(root_line apt-get install -y curl ca-certificates) && $fetch"
	fi
	die go "no Go of 1.21 or later here ($(go version 2>/dev/null || echo "no go at all")), and apt has none; install it with these lines and try again" \
		"$fetch" "$(root_line tar -C /usr/local -xzf "$archive")" \
		"(an older /usr/local/go must be removed before; PATH may stay as it is)"
}

# --- libvirt: who may ---

in_list() { grep -qxF -- "$1" < <(tr ' ' '\n' <<<"$2"); }

# How this user gets at libvirt: direct, sg (in the group, but this login is older than that) or session (not in the group).
access() {
	local user
	if ((EUID == 0)) || [ "${LIBVIRT_DEFAULT_URI:-$system_uri}" != "$system_uri" ] || ! getent group libvirt >/dev/null; then
		echo direct
		return
	fi
	user=$(id -un)
	if in_list libvirt "$(id -nG)"; then
		echo direct
	elif in_list libvirt "$(id -nG "$user")"; then
		echo sg
	else
		echo session
	fi
}

join_group() {
	local user answer
	if [ "$(access)" != session ]; then return; fi
	user=$(id -un)
	if [ "$interactive" = no ]; then
		say libvirt "$user is not in group libvirt; to use the system's libvirt: sudo usermod -aG libvirt $user"
		return
	fi
	read -r -p "add $user to group libvirt? [Y/n] " answer || answer=n
	case $answer in
	"" | [Yy]*)
		if ! as_root usermod -aG libvirt "$user"; then
			die libvirt "$user could not be added to group libvirt; let root run the first line, or do without root by the second" \
				"usermod -aG libvirt $user" "export LIBVIRT_DEFAULT_URI=qemu:///session"
		fi
		;;
	*) say libvirt "not added; to use the system's libvirt later: sudo usermod -aG libvirt $user" ;;
	esac
}

# Replaces this process. sg hands its command to /bin/sh, hence the quoting. It stays as the parent and passes no signal on:
# without setpriv a SIGTERM to make would leave the command running.
as_libvirt() {
	local word line=exec
	case $(access) in
	direct) exec "$@" ;;
	session) LIBVIRT_DEFAULT_URI=qemu:///session exec "$@" ;;
	sg)
		if ! has_command sg; then
			die libvirt "$(id -un) is in group libvirt, but not in this login, and there is no sg; log out and in again"
		fi
		if has_command setpriv; then line="exec setpriv --pdeathsig TERM --"; fi
		for word in "$@"; do line+=" '${word//\'/\'\\\'\'}'"; done
		exec sg libvirt -c "$line"
		;;
	esac
}

# --- libvirt: the daemons ---

answers() { (as_libvirt timeout 20 virsh -q -c "$system_uri" uri) </dev/null >/dev/null 2>&1; }

wait_for_answer() {
	local deadline=$((SECONDS + 30))
	until answers; do
		if ((SECONDS >= deadline)); then return 1; fi
		sleep 0.2
	done
}

start_by_systemd() {
	local unit units=(libvirtd.socket libvirtd.service) found=()
	# Either the one daemon or the modular ones; where both are installed, the one that is enabled.
	if ! systemctl cat libvirtd.service >/dev/null 2>&1 || systemctl is-enabled -q virtqemud.socket 2>/dev/null; then
		units=(virtqemud.socket virtnetworkd.socket virtstoraged.socket virtnodedevd.socket virtsecretd.socket virtnwfilterd.socket)
	fi
	for unit in "${units[@]}"; do
		if systemctl cat "$unit" >/dev/null 2>&1; then found+=("$unit"); fi
	done
	if ((${#found[@]} == 0)); then
		die libvirt "systemd knows neither libvirtd nor virtqemud; install libvirt's daemon with" "$(root_line apt-get install --reinstall libvirt-daemon-system)"
	fi
	require_root libvirt "systemctl enable --now ${found[*]}"
	say libvirt "starting ${found[*]} through systemd"
	# One at a time: a socket refuses to start once its service runs.
	for unit in "${found[@]}"; do as_root systemctl -q enable --now "$unit"; done
	if ! wait_for_answer; then
		systemctl --no-pager --lines 15 status "${found[0]}" "${found[0]%.socket}.service" >&2 || true
		die libvirt "$system_uri does not answer $(id -un) within 30 s; see" "$(root_line journalctl -u "${found[0]%.socket}")"
	fi
}

# Its own session, no descriptor and no variable of ours: neither Ctrl-C here nor `make run | cat` waiting for the end of its
# input (nor make's job server) may be tied to a daemon.
detach() { # LOG COMMAND...
	local log=$1 fd
	shift
	cd /
	umask 022
	exec </dev/null >>"$log" 2>&1
	for fd in "/proc/$BASHPID/fd"/*; do
		fd=${fd##*/}
		if ((fd > 2)); then eval "exec $fd>&-"; fi
	done
	exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin setsid -f "$@"
}

runs() { # DAEMON: by the pid file that libvirt's daemons keep
	local pid
	pid=$(cat "/run/$1.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ]
}

start_by_hand() {
	local log=/var/log/libvirt/vmscaler-started.log parent=()
	if runs libvirtd; then
		die libvirt "libvirtd runs (pid $(cat /run/libvirtd.pid)) but $system_uri does not answer $(id -un); without systemd try it as root, or use LIBVIRT_DEFAULT_URI=qemu:///session"
	fi
	# libvirt waits until a killed QEMU is gone from the process table. A first process that is no init may take seconds to
	# reap it; tini -s reaps at once.
	if has_command tini; then parent=(tini -s --); fi
	require_root libvirt "virtlogd -d" "libvirtd -d"
	# As systemd does: libvirtd looks once where guests may have huge pages.
	if ! grep -q ' hugetlbfs ' /proc/mounts && grep -q hugetlbfs /proc/filesystems; then
		as_root mkdir -p /dev/hugepages
		as_root mount -t hugetlbfs hugetlbfs /dev/hugepages || say libvirt "hugetlbfs cannot be mounted here: no huge pages for guests"
	fi
	say libvirt "starting virtlogd and libvirtd (no systemd here; log: $log)"
	as_root mkdir -p "${log%/*}"
	if ! runs virtlogd; then as_root "$self" detach "$log" virtlogd; fi
	as_root "$self" detach "$log" "${parent[@]}" libvirtd
	if ! wait_for_answer; then
		as_root tail -n 15 "$log" >&2 || true
		die libvirt "$system_uri does not answer $(id -un) 30 s after the start of libvirtd (the end of $log is above); without systemd try it as root, or use LIBVIRT_DEFAULT_URI=qemu:///session"
	fi
}

# A device that nobody prepared: QEMU cannot open it as its own user, and libvirt then examines QEMU again at each call.
fix_kvm_device() {
	if ((EUID == 0)) && [ -c /dev/kvm ] && [ ! -S /run/udev/control ] && getent group kvm >/dev/null &&
		[ "$(stat -c '%U:%G %a' /dev/kvm)" = 'root:root 600' ]; then
		say kvm "/dev/kvm was root:root 0600 and no udev looks after it; now root:kvm 0660"
		chgrp kvm /dev/kvm
		chmod 660 /dev/kvm
	fi
}

step_libvirt() {
	if [ "${LIBVIRT_DEFAULT_URI:-$system_uri}" != "$system_uri" ]; then
		say libvirt "$LIBVIRT_DEFAULT_URI, from LIBVIRT_DEFAULT_URI; nothing is started"
		return
	fi
	join_group
	if [ "$(access)" = session ]; then
		say libvirt "qemu:///session, this user's own libvirt"
		return
	fi
	fix_kvm_device
	if ! answers; then
		if has_systemd; then start_by_systemd; else start_by_hand; fi
	fi
	say libvirt "$system_uri answers"
}

command=${1:-}
if (($#)); then shift; fi
case $command in
packages) step_packages "$@" ;;
names) names "${1:-run}" ;;
libvirt) step_libvirt ;;
exec)
	use_go
	exec "$@"
	;;
quietly)
	use_go
	step_quietly "$@"
	;;
as-libvirt)
	use_go
	as_libvirt "$@"
	;;
vmscaler)
	step_libvirt
	as_libvirt bin/vmscaler "$@"
	;;
detach) detach "$@" ;;
*)
	sed -n '2,/^set /{s/^# \{0,1\}//p}' "$self" >&2
	exit 2
	;;
esac
