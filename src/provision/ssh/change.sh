# Makes the satellite what the plan says, or leaves the one that was there before.
#
# Given: $name of the stored program, $port, the lines of $settings and $expected (those that were
# there when the plan was made; empty for none), $kind with $run or $unit_text for it, and for the one
# that was there before $old_kind, $old_name, $old_port, $old_run and $old_unit. Nothing is said
# before the end, so that a lost connection does not end this half-way.

trap '' HUP
program=$root/bin/$name
notes=''

# The settings without what only this script knows.
plain() {
    grep -v -e '^state=' -e '^linger=' "$root/settings" 2>/dev/null
}

# Writes the settings $1 down in the state $2.
note() {
    linger=$(value linger)
    put 600 "$root/settings" "$1${nl}state=$2${nl}linger=${3-${linger:-no}}"
}

# Writes what starts the satellite: $1 is the kind, $2 the script, $3 the unit.
write() {
    case $1 in
        systemd) mkdir -p "$units" && put 644 "$unit" "$3" && manager daemon-reload ;;
        script) put 700 "$root/run" "$2" ;;
    esac
}

# Becomes a command that has nothing of the environment of this login, in which there may be secrets of
# whoever logs in: it would keep them for as long as it runs.
become() {
    command -v env >/dev/null 2>&1 || exec "$@"
    exec env -i "HOME=$HOME" "PATH=$PATH" "$@"
}

start() {
    if [ "$1" = systemd ]; then
        manager reset-failed "$unit_name" >/dev/null 2>&1
        manager enable "$unit_name" 2>&1 && manager restart "$unit_name" 2>&1
        return
    fi
    rm -f "$root/run.pid" "$root/failures"
    detach=nohup
    command -v setsid >/dev/null 2>&1 && detach=setsid
    become "$detach" sh "$root/run" </dev/null >/dev/null 2>&1 9>&- &
}

stop() {
    if [ -e "$unit" ] && find_manager; then
        manager stop "$unit_name" >/dev/null 2>&1
    fi
    end_processes || give_up 'the satellite there cannot be stopped'
}

# Removes what would start a satellite of another kind than $1.
leave_only() {
    if [ "$1" != systemd ] && [ -e "$unit" ]; then
        manager disable "$unit_name" >/dev/null 2>&1
        rm -f "$unit" "$units/default.target.wants/$unit_name"
        manager daemon-reload >/dev/null 2>&1
    fi
    [ "$1" = script ] || rm -f "$root/run" "$root/run.pid" "$root/failures"
}

# A value of the unit as its manager knows it.
property() {
    manager show --property="$1" "$unit_name" 2>/dev/null | sed "s/^$1=//"
}

# Whether there is nothing more to wait for: it failed twice, or was not even started again.
is_lost() {
    if [ "$1" = systemd ]; then
        restarts=$(property NRestarts)
        [ "$(property ActiveState)" = failed ] || [ "${restarts:-0}" -ge 2 ]
        return
    fi
    if [ -e "$root/failures" ]; then
        failures=0
        { read -r failures <"$root/failures"; } 2>/dev/null
        [ "${failures:-0}" -ge 2 ] || ! supervised
    else
        return 1
    fi
}

# Waits until the satellite of kind $1, program $2, port $3 is ready.
await() {
    deadline=$(($(now) + 60))
    while [ "$(now)" -le "$deadline" ]; do
        if serves "$2" "$3" && "$2" --check --data "$data" >/dev/null 2>&1 </dev/null; then
            return 0
        fi
        is_lost "$1" && return 1
        nap
    done
    return 1
}

# The last words of a satellite of kind $1 that began at $2 or, for the script, $2 bytes into the log.
last_words() {
    if [ "$1" = systemd ]; then
        words=$(journalctl --user --no-pager -q -o cat -t skypipe-satellite --since "@$2" 2>/dev/null |
            uniq | tail -n 3)
        [ -n "$words" ] || words="systemd says $(property Result), exit code $(
            property ExecMainStatus); more may be in: journalctl --user -u $unit_name"
    else
        words=$(tail -c "+$(($2 + 1))" "$log" 2>/dev/null | uniq | tail -n 3)
    fi
    printf '%s' "${words:-it said nothing}"
}

# Where the words of the next satellite of kind $1 will begin.
mark() {
    case $1 in
        systemd) now ;;
        *) if [ -f "$log" ]; then wc -c <"$log"; else printf 0; fi ;;
    esac
}

# Lets the user's manager live on without a login.
keep_manager() {
    who=$(id -un)
    [ "$(loginctl show-user --property=Linger "$who" 2>/dev/null)" = Linger=yes ] && return
    # Written down before it is done, so that it is undone even if this ends in between.
    note "$1" "$2" ours
    words=$(loginctl --no-ask-password enable-linger "$who" 2>&1) && return
    note "$1" "$2" no
    notes="lingers=$(printf '%s' "$words" | tr '\n' ' ')"
}

# Goes back to what was there before, and ends with the reason $1.
go_back() {
    stop
    if [ -z "$old_name" ]; then
        leave_only none
        give_up "$1"
    fi
    leave_only "$old_kind"
    words=$(write "$old_kind" "$old_run" "$old_unit" 2>&1) ||
        give_up "$1; and the one before cannot be started again: $words"
    start "$old_kind" >/dev/null
    if await "$old_kind" "$root/bin/$old_name" "$old_port"; then
        give_up "$1; the one that was there before runs again"
    fi
    give_up "$1; and the one that was there before does not start again either"
}

# Removes all programs but $1, and uploads of which nobody is left.
tidy() {
    for each in "$root"/bin/skypipe-* "$root"/bin/.new-*; do
        [ "$each" = "$1" ] && continue
        case $each in
            *'/.new-'*)
                upload=${each##*/.new-}
                [ "$(began "${upload%%-*}")" = "${upload#*-}" ] && continue
                ;;
        esac
        rm -f "$each"
    done
}

# The end of a launch that went well.
finish() {
    [ "$kind" = systemd ] && keep_manager "$settings" ready
    tidy "$program"
    [ -n "$notes" ] && printf '%s\n' "$notes"
    tell ready yes
    exit 0
}

take_turn || give_up 'the satellite there was destroyed meanwhile'
[ "$(plain)" = "$expected" ] ||
    give_up 'the satellite there was changed by another launch meanwhile: run this again'
find_manager && is_managed=yes || is_managed=no
if [ "$kind$is_managed" = systemdno ] || [ "$old_kind$is_managed" = systemdno ]; then
    give_up "the user's systemd manager, which keeps the satellite, cannot be reached there now"
fi
words=$("$program" --version 2>&1 </dev/null) ||
    give_up "the program does not run there: ${words:-it said nothing}"

if [ "$settings" = "$expected" ] && [ "$(value state)" = ready ] && serves "$program" "$port"; then
    case $kind in
        systemd) [ "$(cat "$unit" 2>/dev/null)" = "$unit_text" ] && as_planned=yes ;;
        script) [ "$(cat "$root/run" 2>/dev/null)" = "$run" ] && supervised && as_planned=yes ;;
    esac
    if [ "${as_planned-}" = yes ]; then
        finish
    fi
fi

for inode in $(listeners "$port"); do
    is_ours "$inode" ||
        give_up "another program listens at port $port there: choose another one with --port"
done
mkdir -p "$data" && chmod 700 "$root" "$data" || give_up "$data cannot be made there"
[ -n "$old_name" ] || note "$settings" begun || give_up 'the settings cannot be written there'
words=$(write "$kind" "$run" "$unit_text" 2>&1) || go_back "it cannot be started: $words"
stop
leave_only "$kind"
where=$(mark "$kind")
words=$(start "$kind") || go_back "it cannot be started: $words"
if ! await "$kind" "$program" "$port"; then
    go_back "the satellite does not get ready there: $(last_words "$kind" "$where")"
fi
note "$settings" ready || go_back 'the settings cannot be written there'
finish
