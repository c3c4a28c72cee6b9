# Gives a system that was cloned an identity of its own: $1 is its host name, $2 its machine id, $3 when it was made, in seconds.
# What is older than the clone was in the image, and so is the same in each of them; what the system has made for itself stays.
# Where cloud-init is at work, host name and SSH host keys are its. ROOT is of tests.
name=$1 id=$2 made=$3 did='' failed=''

old() {
	t=$(stat -c %Y "$1" 2>/dev/null) && [ -n "$t" ] && [ "$t" -lt "$made" ]
}

cloud() {
	[ ! -e "$ROOT/run/cloud-init/disabled" ] && { command -v cloud-init >/dev/null 2>&1 || [ -e "$ROOT/etc/tiny-cloud.conf" ]; }
}

set_host() {
	file=$ROOT/etc/hostname now=$(hostname) was=''
	[ "$now" != "$name" ] || return 0
	[ ! -e "$file" ] || old "$file" || return 0
	[ ! -e "$file" ] || was=$(cat "$file")
	case $now in
	"$was" | "${was%%.*}" | localhost | localhost.localdomain | '(none)' | '') ;;
	*) return 0 ;; # a script of the system's own has set it
	esac
	if echo "$name" >"$file" && hostname "$name"; then
		[ ! -w "$ROOT/etc/hosts" ] || sed -i "s/^127\.0\.1\.1[[:space:]].*/127.0.1.1 $name/" "$ROOT/etc/hosts"
		did=$did,host
	else
		failed=$failed,host
	fi
}

set_machine() {
	file=$ROOT/etc/machine-id
	[ -f "$file" ] && [ -s "$file" ] && [ ! -L "$file" ] && old "$file" || return 0
	was=$(cat "$file")
	[ "$was" != "$id" ] && [ "$was" != uninitialized ] || return 0
	if echo "$id" >"$file"; then
		other=$ROOT/var/lib/dbus/machine-id
		[ ! -f "$other" ] || [ -L "$other" ] || echo "$id" >"$other"
		# Its DHCP client has asked by the old one.
		systemctl -q is-active systemd-networkd 2>/dev/null && systemctl restart systemd-networkd
		did=$did,machine
	else
		failed=$failed,machine
	fi
}

set_keys() {
	keys=''
	for key in "$ROOT"/etc/ssh/ssh_host_*_key; do
		[ -f "$key" ] && old "$key" && keys="$keys $key"
	done
	[ -n "$keys" ] || return 0
	for key in $keys; do
		mv -f "$key" "$key.old"
	done
	if ssh-keygen -A ${ROOT:+-f "$ROOT"} >/dev/null 2>&1; then
		for key in $keys; do
			rm -f "$key.old"
			[ -e "$key" ] || rm -f "$key.pub"
		done
		systemctl -q try-restart ssh sshd 2>/dev/null || rc-service -q sshd restart 2>/dev/null ||
			{ [ -r /run/sshd.pid ] && kill -HUP "$(cat /run/sshd.pid)"; }
		did=$did,keys
	else
		for key in $keys; do
			mv -f "$key.old" "$key"
		done
		failed=$failed,keys
	fi
}

if ! cloud; then
	set_host
	set_keys
fi
set_machine
echo "did$did"
echo "failed$failed"
