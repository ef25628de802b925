# Boots this machine's own systemd as the first process of another one, which is made of namespaces and
# of an overlay of `/`. Of the real machine only a directory and a cgroup, given here, are written to.
#
# Given: $1 is what to do now, $2 the directory, with this script and the keys in `ssh`, $3 the cgroup's
# name, $4 the account's home.

set -eu
mode=$1 place=$2 group=$3 home=$4
root=$place/machine/root
uid=54321

# Mounts the cgroups of this process's namespace at $1. (In the first namespace of all, that would change
# the real machine's options.)
mount_cgroups() {
    mkdir -p "$1"
    mount -t cgroup2 cgroup2 "$1"
}

# Enters a cgroup of its own.
enter() {
    mount_cgroups "$place/cgroups"
    mkdir "$place/cgroups/$group"
    echo "$$" >"$place/cgroups/$group/cgroup.procs"
}

# Removes it. Whoever was in there is gone.
leave() {
    mount_cgroups "$place/cgroups"
    [ ! -e "$place/cgroups/$group" ] || find "$place/cgroups/$group" -depth -type d -exec rmdir {} +
}

devices() {
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for each in null zero full random urandom tty; do
        : >"$root/dev/$each"
        mount --bind "/dev/$each" "$root/dev/$each"
    done
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
}

files() {
    mkdir "$place/machine"
    mount -t tmpfs -o mode=755 tmpfs "$place/machine"
    mkdir "$place/machine/upper" "$place/machine/work" "$root"
    mount -t overlay -o "lowerdir=/,upperdir=$place/machine/upper,workdir=$place/machine/work" \
        overlay "$root"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    devices
}

# What the machine sees of the kernel, of which it can change nothing but its own cgroups.
kernel() {
    mount -t proc proc "$root/proc"
    for each in sys sysrq-trigger; do
        [ -e "$root/proc/$each" ] || continue
        mount --bind "$root/proc/$each" "$root/proc/$each"
        mount -o remount,bind,ro "$root/proc/$each"
    done
    mount -t sysfs -o ro sysfs "$root/sys"
    mount_cgroups "$root/sys/fs/cgroup"
}

# What was set up on the real machine does not count here. The manager of an account ends with its last
# session, and not some seconds later.
settings() {
    rm -rf "$root/etc/systemd" "$root/var/lib/systemd" "$root/var/log/journal"
    mkdir -p "$root/etc/systemd/system" "$root/var/log/journal"
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    echo booted >"$root/etc/hostname"
    : >"$root/etc/fstab"
    printf '[Login]\nUserStopDelaySec=0\n' >"$root/etc/systemd/logind.conf"
}

# An account like any.
account() {
    echo "guest:x:$uid:$uid::$home:/bin/sh" >>"$root/etc/passwd"
    echo "guest:x:$uid:" >>"$root/etc/group"
    echo 'guest:*:19000:0:99999:7:::' >>"$root/etc/shadow"
    mkdir -p "$root$home"
    chown "$uid:$uid" "$root$home"
}

# The one service that is wanted.
sshd() {
    mkdir "$root/etc/booted"
    cp "$place/ssh/host" "$place/ssh/user.pub" "$root/etc/booted"
    cat >"$root/etc/booted/config" <<'END'
ListenAddress 127.0.0.1
HostKey /etc/booted/host
AuthorizedKeysFile /etc/booted/user.pub
PidFile none
UsePAM yes
PasswordAuthentication no
MaxStartups 100
END
    cat >"$root/etc/systemd/system/booted.service" <<'END'
[Unit]
Requires=systemd-user-sessions.service
Wants=dbus.socket
After=systemd-user-sessions.service dbus.socket

[Service]
ExecStart=/usr/sbin/sshd -D -e -f /etc/booted/config
RuntimeDirectory=sshd
END
}

case $mode in
    leave) leave ;;
    probe | boot)
        enter
        # Not even root can change the kernel, or its clock, from there.
        exec setpriv --bounding-set -sys_module,-sys_time,-sys_rawio,-sys_boot,-syslog,-mac_admin \
            unshare --cgroup --pid --fork --kill-child --uts --ipc \
            sh "$place/booted.sh" "first-$mode" "$place" "$group" "$home"
        ;;
    first-*)
        files
        kernel
        [ "$mode" = first-boot ] || exit 0
        settings
        account
        sshd
        cd "$root"
        pivot_root . mnt
        exec chroot . sh -c 'umount -l /mnt && exec env -i container=other PATH="$PATH" \
            /lib/systemd/systemd --system --unit=booted.service --log-target=journal'
        ;;
esac
