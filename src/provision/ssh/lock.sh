# A lock that is free again as soon as its holder is dead.

# The start time of process $1, in ticks since the system started (field 22 of proc_pid_stat(5)). The
# number and the start time together name a process uniquely. Prints nothing for a dead process or
# a zombie (state Z), which in a container may never be reaped.
began() {
    sed -n 's/.*) \([^ZXx]\)/\1/p' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
}

# Takes the lock file $1 for as long as this shell runs. Fails if another process holds it. The lock is
# on descriptor 9, which no child may inherit. Where there is no flock(1), a link names the holder, and
# is valid only while that process is alive.
take() {
    if command -v flock >/dev/null 2>&1; then
        exec 9>>"$1"
        flock -n 9 && return 0
        # Any other code means that this flock, or this shell's descriptors, are no good.
        [ "$?" -eq 1 ] && return 1
    fi
    printf '%s %s\n' "$$" "$(began "$$")" >"$1.$$" || return 1
    if ! ln "$1.$$" "$1.held" 2>/dev/null; then
        holder='' since=''
        read -r holder since 2>/dev/null <"$1.held"
        if [ -n "$since" ] && [ "$(began "$holder")" = "$since" ]; then
            rm -f "$1.$$"
            return 1
        fi
        mv -f "$1.held" "$1.$$.stale" 2>/dev/null
        rm -f "$1.$$.stale"
        ln "$1.$$" "$1.held" 2>/dev/null || { rm -f "$1.$$"; return 1; }
    fi
    rm -f "$1.$$"
}
