#!/usr/bin/env bash
# Makes the image of an ordinary Debian system, unless there is one of the same inputs, and runs a command with its path in
# VMSCALER_TEST_IMAGE.
#
#   RELEASE=trixie test-image.sh COMMAND...
#
# RELEASE is another release of Debian's than this machine's own, by its code name, from the same archive.
# The system is what Debian's packages make of themselves: its kernel and initramfs, systemd, its DHCP client, cloud-init, the
# guest agent, and services and timers as they come along. The packages are those of this machine's own apt sources. Nothing is mounted but
# by mmdebstrap, in a namespace of its own, and there is no loop device.
set -euo pipefail

self=$(readlink -f "${BASH_SOURCE[0]}")
cd "$(dirname "$self")/.."
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

say() { printf '%-10s %s\n' image "$*"; }
die() {
	printf '%-10s %s\n' image "$*" >&2
	exit 1
}
as_root() { if ((EUID == 0)); then "$@"; else sudo -n -- "$@"; fi; }

packages=linux-image-cloud-amd64,systemd-sysv,udev,dbus,iproute2,qemu-guest-agent,stress-ng
packages+=,cloud-init,cloud-guest-utils,sudo,openssh-server,rsyslog,cron,logrotate,unattended-upgrades
busy=fill-caches # a service of the image's own
# shellcheck disable=SC1091
own=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
release=${RELEASE:-$own}

# Debian's own archive, in one-line style, whatever style the machine's files have. Of another release it is the archive's main part.
sources() {
	# shellcheck disable=SC2016 # apt fills these in
	apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
		if [ "$release" = "$own" ]; then cat; else sed -n "s/ $own main\$/ $release main/p" | head -n 1; fi
}

# The parts of the disk, in MiB: the boot loader's FAT partition, and the root file system, most of which is a hole.
boot_start=1 boot_size=47 root_start=48 root_size=2000

make_disk() { # SYSTEM DISK
	local system=$1 disk=$2 boot=$2.boot
	# No tsc=reliable, for the reason that the demo template's syslinux.cfg has: systemd once waited a tenth of its 90 s, and froze.
	cat >"$disk.cfg" <<-EOF
		DEFAULT linux
		PROMPT 0
		LABEL linux
		  LINUX /vmlinuz
		  INITRD /initrd.img
		  APPEND root=/dev/vda2 rw console=ttyS0 quiet mitigations=off no_timer_check random.trust_cpu=on
	EOF
	truncate -s ${boot_size}M "$boot"
	mformat -i "$boot" -v BOOT -T $((boot_size * 2048)) -h 255 -s 63 -H $((boot_start * 2048)) ::
	mcopy -i "$boot" "$disk.cfg" ::/syslinux.cfg
	mcopy -i "$boot" "$system"/boot/vmlinuz-* ::/vmlinuz
	mcopy -i "$boot" "$system"/boot/initrd.img-* ::/initrd.img
	syslinux --install "$boot"

	truncate -s $((root_start + root_size))M "$disk"
	printf '%sMiB,%sMiB,0e,*\n%sMiB,%sMiB,83\n' $boot_start $boot_size $root_start $root_size | sfdisk -q --label dos "$disk"
	dd if=/usr/lib/syslinux/mbr/mbr.bin of="$disk" bs=440 count=1 conv=notrunc status=none
	dd if="$boot" of="$disk" bs=1M seek=$boot_start conv=notrunc,sparse status=none
	mke2fs -q -t ext4 -d "$system" -E offset=$((root_start << 20)),root_owner=0:0 -m 0 "$disk" ${root_size}M
}

make_image() { # FILE, as root
	local file=$1 work start=$SECONDS
	work=$(mktemp -d /var/tmp/vmscaler-image.XXXXXX)
	# shellcheck disable=SC2064 # the folder of now
	trap "rm -rf --one-file-system '$work'" EXIT
	mkdir -p "$work/files/etc/initramfs-tools/conf.d" "$work/files/etc/cloud/cloud.cfg.d" "$work/files/etc/systemd/network" "$work/files/etc/systemd/system"
	(
		cd "$work/files/etc"
		# mmdebstrap runs where there is no such disk, so the drivers that reach it are named.
		echo MODULES=list >initramfs-tools/conf.d/modules
		printf '%s\n' virtio_pci virtio_blk ext4 >initramfs-tools/modules
		printf '[Match]\nType=ether\n[Network]\nDHCP=yes\n' >systemd/network/ether.network
		# As in Debian's cloud images, but that an RSA key would take minutes of an emulated CPU, and the network is networkd's.
		cat >cloud/cloud.cfg.d/90_image.cfg <<-EOF
			datasource_list: [NoCloud, None]
			ssh_genkeytypes: [ed25519]
			network: {config: disabled}
			locale: false
		EOF
		# systemd calls its boot finished, and the CPU is at work on this for some time.
		cat >systemd/system/$busy.service <<-EOF
			[Unit]
			Description=Read all libraries once, as a program that fills its caches
			[Service]
			Type=idle
			ExecStart=/bin/sh -c 'find /usr/lib -xdev -type f -exec cat {} + | sha256sum'
			[Install]
			WantedBy=multi-user.target
		EOF
	)
	# The host's name and name servers would come along otherwise.
	# shellcheck disable=SC2016 # $1 is for mmdebstrap's shell
	sources | mmdebstrap --variant=minbase --include="$packages" \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
		--essential-hook="sync-in $work/files /" --customize-hook="chroot \"\$1\" systemctl -q enable systemd-networkd $busy" \
		--customize-hook='echo localhost >"$1/etc/hostname"; rm -f "$1/etc/resolv.conf" "$1"/etc/ssh/ssh_host_*; : >"$1/etc/machine-id"' \
		--format=directory "$release" "$work/system" - >"$work/log" 2>&1 || {
		tail -n 20 "$work/log" >&2
		die "mmdebstrap failed; the end of its output is above"
	}
	make_disk "$work/system" "$work/disk"
	qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd "$work/disk" "$work/image"
	chmod 0444 "$work/image"
	rm -f "${file%/*}/$release"-*.qcow2 # those of other inputs
	mv "$work/image" "$file"
	say "made in $((SECONDS - start)) s ($(du -h "$file" | cut -f1))"
}

main() {
	local cache=/var/tmp/vmscaler-image-$EUID key image
	if [ -z "$(sources)" ]; then as_root apt-get -qq update || true; fi
	if [ -z "$(sources)" ]; then die "apt here has no sources of Debian's (apt-get indextargets), which the image is made from"; fi
	mkdir -m 0700 "$cache" 2>/dev/null || true
	if [ -L "$cache" ] || [ ! -O "$cache" ]; then die "$cache is not this user's folder"; fi
	key=$({
		declare -f make_disk make_image
		declare -p packages busy boot_start boot_size root_start root_size
		sources
	} | sha256sum | cut -c1-16)
	image=$cache/$release-$key.qcow2
	if [ -e "$image" ]; then
		say "using $image, made before"
	else
		as_root env RELEASE="$release" "$self" --make "$image"
	fi
	VMSCALER_TEST_IMAGE=$image exec "$@"
}

case ${1:-} in
"")
	sed -n '2,/^set /{s/^# \{0,1\}//p}' "$self" >&2
	exit 2
	;;
--make) make_image "$2" ;;
*) main "$@" ;;
esac
