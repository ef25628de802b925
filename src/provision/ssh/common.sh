# Shared by all scripts on the host: paths, processes, and answers. An answer is lines of NAME=VALUE.
# Descriptor 9 is the lock against other scripts that change something.

umask 077
LC_ALL=C
export LC_ALL
nl='
'
case $HOME in /*) ;; *) printf 'failure=the account has no home directory there\n'; exit 3 ;; esac
case $HOME in *"$nl"*) printf 'failure=the home directory has an unusable name\n'; exit 3 ;; esac
root=$HOME/.local/share/skypipe-satellite
data=$root/data
log=$root/log
unit_name=skypipe-satellite.service
units=$HOME/.config/systemd/user
unit=$units/$unit_name

tell() {
    printf '%s=%s\n' "$1" "$(printf '%s' "$2" | tr '\n' ' ')"
}

give_up() {
    tell failure "$1"
    exit 3
}

# Sleeps for less than a second where `sleep` supports that.
nap() {
    sleep 0.1 2>/dev/null || sleep 1
}

now() {
    date +%s
}

# The value of $1 in the settings.
value() {
    sed -n "s/^$1=//p" "$root/settings" 2>/dev/null | head -n 1
}

# Replaces the file $2 by one of mode $1 that says $3.
put() {
    printf '%s\n' "$3" >"$2.new" && chmod "$1" "$2.new" && mv -f "$2.new" "$2"
}

# The processes of the kind $1: satellite (with the program $2, if it is given), supervisor or logger.
# A process in a container is not ours, even if its directory has the same name. `read` drops the zero
# bytes between words; that is good enough for a first look.
processes() {
    here=$(readlink /proc/self/ns/pid)
    for each in /proc/[0-9]*; do
        line=''
        { IFS= read -r line <"$each/cmdline"; } 2>/dev/null
        case $line in *"$root/"*) ;; *) continue ;; esac
        [ "$(readlink "$each/ns/pid" 2>/dev/null)" = "$here" ] || continue
        words=$({ tr '\0' '\n' <"$each/cmdline"; } 2>/dev/null)
        case $1$nl$words in
            "satellite$nl${2-$root/bin/skypipe-}"*"$nl--satellite$nl"*) ;;
            "supervisor$nl"*"$nl$root/run") ;;
            "logger$nl"*"$nl$root/run${nl}log") ;;
            *) continue ;;
        esac
        printf '%s\n' "${each#/proc/}"
    done
}

# Whether the one supervisor is alive.
supervised() {
    { read -r pid <"$root/run.pid"; } 2>/dev/null || return 1
    for each in $(processes supervisor); do
        [ "$each" = "$pid" ] && return 0
    done
    return 1
}

# Ends all processes of the kind $1. It sends the signals $3 in turn and waits $2 seconds after each.
end_all() {
    for signal in $3; do
        for pid in $(processes "$1"); do
            kill "-$signal" "$pid" 2>/dev/null
        done
        deadline=$(($(now) + $2))
        while [ -n "$(processes "$1")" ]; do
            [ "$(now)" -gt "$deadline" ] && continue 2
            nap
        done
        return 0
    done
    return 1
}

# Ends the processes that the script `run` started. A supervisor waits for its satellite. A satellite
# without a supervisor is ended afterwards. A logger ends by itself when nobody can write to it.
end_processes() {
    end_all supervisor 20 'TERM KILL' && end_all satellite 20 'TERM KILL' &&
        end_all logger 3 '0 TERM KILL'
}

# Finds systemd's manager for this user, if there is one.
find_manager() {
    if [ -z "${XDG_RUNTIME_DIR-}" ] && [ -d "/run/user/$(id -u)" ]; then
        XDG_RUNTIME_DIR=/run/user/$(id -u)
        export XDG_RUNTIME_DIR
    fi
    # systemd starts no program whose path contains quotes or a backslash, and its versions disagree
    # about a dollar sign.
    case $root in *[\$\'\"\\[:cntrl:]]*) return 1 ;; esac
    command -v systemctl >/dev/null 2>&1 && manager show-environment >/dev/null 2>&1
}

# Runs systemctl without the lock, so that no process it starts can hold the lock.
manager() {
    systemctl --user --no-pager --no-ask-password "$@" 9>&-
}

# The inodes of the sockets that listen at TCP port $1 (proc_net(5): state 0A).
listeners() {
    hex=$(printf '%04X' "$1")
    grep -h " [0-9A-F]*:$hex [0-9A-F]*:[0-9A-F]* 0A " /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        while read -r _ _ _ _ _ _ _ _ _ inode _; do printf '%s\n' "$inode"; done
}

# Whether the socket with inode $1 belongs to our satellite (with the program $2, if it is given).
is_ours() {
    for pid in $(processes satellite ${2+"$2"}); do
        ls -l "/proc/$pid/fd" 2>/dev/null | grep -q -F "socket:[$1]" && return 0
    done
    return 1
}

# Whether a satellite with the program $1 listens at port $2.
serves() {
    for inode in $(listeners "$2"); do
        is_ours "$inode" "$1" && return 0
    done
    return 1
}

# Whether the lock that was taken is still the file at its path. The previous holder may have removed
# everything, including the lock file. Without flock there is no descriptor to compare.
is_current() {
    mine=$(ls -iL /proc/self/fd/9 2>/dev/null | cut -d ' ' -f 1)
    [ -z "$mine" ] || [ "$mine" = "$(ls -i "$root/change" 2>/dev/null | cut -d ' ' -f 1)" ]
}

# Waits for the lock against other changes. Fails if there is nothing to change.
wait_for_lock() {
    deadline=$(($(now) + 90))
    while [ -d "$root" ]; do
        take "$root/change" && is_current && return 0
        [ "$(now)" -gt "$deadline" ] && give_up 'another launch, or a removal, is under way there'
        nap
    done
    return 1
}
