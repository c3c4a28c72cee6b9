#!/usr/bin/env bash
# Runs tests on the libvirt and QEMU of another Debian release.
#
#   test-distro.sh SUITE GO TEST'S ARGUMENTS...
#
# SUITE is a release that this machine's Debian mirror has (DISTRO_MIRROR names another one), such as trixie or sid. Programs, VMs
# and libvirt's daemons run in a root of it and in namespaces of their own: this machine's libvirt and network are left alone,
# and all processes and mounts end with the run. From this machine come the kernel, the sources, Go and its modules.
#
# Kept is /var/tmp/vmscaler-distro/SUITE, 2 GB: the packed root, which is made again when it is a week old or other packages are
# wanted, and caches of Go and of the guest's packages. The root in which the tests ran is removed; KEEP=1 leaves it.
set -euo pipefail

self=$(readlink -f "${BASH_SOURCE[0]}")
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

tree=/usr/src/vmscaler # in the root
handed_on=(KEEP CHAOS_MINUTES CHAOS_SEED CHAOS_ONLY VIRSH_ONLY http_proxy https_proxy no_proxy)

say() { printf '%-10s %s\n' distro "$*"; }
die() {
	printf '%-10s %s\n' distro "$*" >&2
	exit 1
}

# What this machine's own packages come from.
mirror() {
	# shellcheck disable=SC2016 # it is apt's variable
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2>/dev/null | sed -n 1p
}

settings=()
find_settings() { # into settings: those of the caller's variables that matter
	local name
	for name in "${handed_on[@]}"; do
		if [ -n "${!name:-}" ]; then settings+=("$name=${!name}"); fi
	done
}

main() { # SUITE GO TEST'S ARGUMENTS...
	local suite=$1 mirror goroot modules
	shift
	cd "${self%/*}/.."
	if [[ ! $suite =~ ^[a-z][a-z-]*$ ]]; then die "SUITE is a Debian release's name, such as trixie or sid, not '$suite'"; fi
	if ((EUID != 0)) && ! sudo -n true 2>/dev/null; then die "this needs root, or a sudo that does not ask (sudo -v)"; fi
	mirror=${DISTRO_MIRROR:-$(mirror)}
	if [ -z "$mirror" ]; then die "apt here has no Debian mirror; name one: DISTRO_MIRROR=https://..."; fi
	goroot=$(packaging/host-setup.sh exec go env GOROOT)
	modules=$(packaging/host-setup.sh exec go env GOMODCACHE)
	packaging/host-setup.sh exec go mod download
	find_settings
	# In place of this process, which has nothing to clean up.
	set -- env "${settings[@]}" "$self" @root "$suite" "$mirror" "$goroot" "$modules" "$@"
	if ((EUID == 0)); then exec "$@"; else exec sudo -n -- "$@"; fi
}

# --- as root ---

dir=''         # the suite's folder
job='' end_job='' # what runs, and what ends it

# In the background, so that a signal is acted on at once.
in_background() { # END COMMAND...
	local rc=0
	end_job=$1
	shift
	"$@" </dev/null &
	job=$!
	wait "$job" || rc=$?
	job=''
	return "$rc"
}

# The first process of the namespaces is gone when all others are, and then its parent goes.
kill_first_process() { # PARENT
	local first
	for first in $(ps -o pid= --ppid "$1"); do kill -KILL "$first"; done
}

end_run() {
	trap '' INT TERM # once is enough
	if [ -n "$job" ]; then
		"$end_job" "$job" 2>/dev/null || true
		wait "$job" 2>/dev/null || true
	fi
	rm -f "$dir/root.new.tar"
	if [ -z "${KEEP:-}" ]; then rm -rf --one-file-system "$dir/root"; else say "the root stays: $dir/root"; fi
}

make_root() { # SUITE MIRROR
	local start=$SECONDS packages log=$dir/mmdebstrap.log
	# tini, as the root has no init; Prometheus, HAProxy and nginx, which the tests download where they are missing, as they have no
	# network there; the rest is what a machine has and a bare root has not.
	packages=$( ("${self%/*}/host-setup.sh" names test && printf '%s\n' tini iproute2 procps mount prometheus haproxy nginx-light) | sort -u | paste -sd ,)
	if [ -n "$(find "$dir/root.tar" -mtime -7 2>/dev/null)" ] && [ "$(cat "$dir/packages" 2>/dev/null)" = "$packages" ]; then
		say "the root of $1 is there"
		return
	fi
	say "making a root of $1, which takes minutes (log: $log)"
	# The date until which a release is valid is not looked at: it has passed on a mirror that stands still, and this is a test.
	# apt's lists stay, for the guest's packages.
	in_background kill mmdebstrap --variant=apt --skip=cleanup/apt/lists --include="$packages" "$1" "$dir/root.new.tar" \
		"deb [check-valid-until=no signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $2 $1 main" >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		die "mmdebstrap failed; the end of its output is above"
	}
	mv "$dir/root.new.tar" "$dir/root.tar"
	echo "$packages" >"$dir/packages"
	say "made in $((SECONDS - start)) s"
}

root() { # SUITE MIRROR GOROOT GOMODCACHE GO TEST'S ARGUMENTS...
	local suite=$1 mirror=$2 top=/var/tmp/vmscaler-distro
	shift 2
	umask 022
	# Others may write to /var/tmp, too, but not here.
	mkdir -p "$top"
	if [ -L "$top" ] || [ ! -O "$top" ]; then die "$top is not root's folder; remove it"; fi
	dir=$top/$suite
	mkdir -p "$dir/cache"
	exec 9>"$dir/lock"
	flock -n 9 || die "another run on $suite has not ended"
	trap end_run EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	rm -rf --one-file-system "$dir/root" # of a run that was killed, or of KEEP=1
	make_root "$suite" "$mirror"
	mkdir "$dir/root"
	in_background kill tar -C "$dir/root" --numeric-owner --xattrs -xf "$dir/root.tar"
	# Should this process be killed, all there end as well.
	in_background kill_first_process setpriv --pdeathsig KILL \
		unshare --mount --pid --uts --ipc --fork --kill-child "$self" @enter "$suite" "$dir" "$@"
}

# --- in the namespaces, still on this machine's files ---

bind_read_only() { # FOLDER PLACE
	mkdir -p "$2"
	mount --bind "$1" "$2"
	mount -o remount,bind,ro "$2"
}

enter() { # SUITE DIR GOROOT GOMODCACHE GO TEST'S ARGUMENTS...
	local suite=$1 root=$2/root device node
	hostname "vmscaler-$suite"
	mount --make-rprivate /
	mount --bind "$root" "$root"
	bind_read_only "${self%/*}/.." "$root$tree"
	bind_read_only "$3" "$root/usr/local/go"
	bind_read_only "$4" "$root/root/go/pkg/mod"
	mkdir -p "$root/root/.cache"
	mount --bind "$2/cache" "$root/root/.cache"
	shift 4
	mount -t proc proc "$root/proc"
	mount -t tmpfs -o mode=0755 run "$root/run"
	mkdir -m 1777 "$root/run/lock" # libvirt locks consoles there
	mount -t tmpfs -o mode=0755 dev "$root/dev"
	for device in null zero full random urandom tty kvm net/tun vhost-net; do
		node=$root/dev/$device
		mkdir -p "${node%/*}"
		if [ -c "/dev/$device" ]; then cp -a "/dev/$device" "$node"; fi
	done
	mkdir "$root/dev/pts" "$root/dev/shm"
	mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
	mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
	ln -s pts/ptmx "$root/dev/ptmx"
	ln -s /proc/self/fd "$root/dev/fd"
	# Its groups have other numbers there.
	if [ -c "$root/dev/kvm" ]; then
		chown "root:$(sed -n 's/^kvm:[^:]*:\([0-9]*\):.*/\1/p' "$root/etc/group")" "$root/dev/kvm"
		chmod 0660 "$root/dev/kvm"
	fi
	echo "127.0.0.1 localhost vmscaler-$suite" >"$root/etc/hosts"
	cat /etc/resolv.conf >"$root/etc/resolv.conf"
	tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
	cd "$root"
	# A chroot is not enough: libvirt takes a QEMU's mounts apart, which needs a root that is a mount.
	mkdir old
	pivot_root . old
	umount -l old
	rmdir old
	find_settings
	exec env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		GOFLAGS=-buildvcs=false GOPROXY=off GOTOOLCHAIN=local "${settings[@]}" \
		tini -g -- "$tree/packaging/test-distro.sh" @prepare "$@"
}

# --- in the root ---

# With this machine's network, for the guest's packages. Nothing but the tests is left to do then.
prepare() {
	cd "$tree"
	packaging/host-setup.sh packages test
	apt-get -qq update || say "apt-get update failed; going on with the package lists that are there"
	packaging/host-setup.sh quietly build "tests and demo template, with $(gcc --version | sed -n 1p)" \
		go test -count 1 -run '^$' ./cmd/vmscaler/e2e
	exec unshare --net "$self" @tests "$@"
}

# With a network of its own, in which are only libvirt's bridges.
tests() {
	local start=$SECONDS versions
	cd "$tree"
	mount -t sysfs sysfs /sys # shows the devices of the network in which it is mounted
	ip link set lo up
	packaging/host-setup.sh libvirt
	versions=$(virsh -c qemu:///system version --daemon | sed -n 's/^Running hypervisor: //p; s/^Running against daemon: /libvirt /p' | paste -sd , | sed 's/,/, /')
	say "$versions"
	packaging/host-setup.sh as-libvirt nice -n 10 go test -count 1 -timeout 60m -parallel 3 "$@" || die "failed on $versions"
	say "passed on $versions in $((SECONDS - start)) s"
}

case ${1:-} in
@root) shift && root "$@" ;;
@enter) shift && enter "$@" ;;
@prepare) shift && prepare "$@" ;;
@tests) shift && tests "$@" ;;
"" | -*)
	sed -n '2,/^set /{s/^# \{0,1\}//p}' "$self" >&2
	exit 2
	;;
*) main "$@" ;;
esac
