# A lock that nobody has to clear away, whatever becomes of who holds it.

# When a process began, in ticks since the system started (field 22 of proc_pid_stat(5)): with its
# number, that names it for good. Nothing for one that is dead, be it that nobody has taken note of its
# end yet (state Z), which in a container may be for ever.
began() {
    sed -n 's/.*) \([^ZXx]\)/\1/p' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
}

# Takes the lock file $1 for as long as this shell runs, on descriptor 9, which no child may inherit;
# fails if another process holds it. The kernel knows who holds a lock of flock(1). Where there is no
# such program, the lock's link names its holder, and counts only while that process is alive.
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
