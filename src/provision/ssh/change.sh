# Makes the satellite run as planned, and waits until it works.
#
# Given: $name of the stored program, $port, the lines of $settings, the lines $expected in the
# settings file (empty for none), the supervisor's $kind and the text of its file, $starter. Of the
# satellite that was there: $former_name, $former_port and $former_starter (empty for none).
#
# Answers `ready`, or `failure` if nothing was changed, or `broken` if the satellite was changed and
# does not work. The former one is then put back here, where no lost connection can keep it from
# that: `back` says `yes`, or why that failed. Nothing is written before the end, so that a lost
# connection does not stop this half-way.

trap '' HUP
program=$root/bin/$name
former_kind=$(value supervisor)
notes=''

# The settings without the lines that only this script writes.
plain() {
    grep -v -e '^state=' -e '^linger=' "$root/settings" 2>/dev/null
}

# Writes the settings with the state $1. $2 says who enabled lingering.
note() {
    linger=$(value linger)
    put 600 "$root/settings" "$settings${nl}state=$1${nl}linger=${2-${linger:-no}}"
}

# Writes the file that starts the satellite.
write_starter() {
    case $kind in
        systemd) mkdir -p "$units" && put 644 "$unit" "$starter" && manager daemon-reload ;;
        script) put 700 "$root/run" "$starter" ;;
    esac
}

# Replaces this process by a command that inherits nothing from the environment of this login, which
# may hold secrets and would stay readable for as long as the command runs.
exec_clean() {
    command -v env >/dev/null 2>&1 || exec "$@"
    exec env -i "HOME=$HOME" "PATH=$PATH" "$@"
}

start() {
    if [ "$kind" = systemd ]; then
        manager reset-failed "$unit_name" >/dev/null 2>&1
        manager enable "$unit_name" 2>&1 && manager restart "$unit_name" 2>&1
        return
    fi
    rm -f "$root/run.pid" "$root/failures"
    detach=nohup
    command -v setsid >/dev/null 2>&1 && detach=setsid
    exec_clean "$detach" sh "$root/run" </dev/null >/dev/null 2>&1 9>&- &
}

stop() {
    if [ -e "$unit" ] && find_manager; then
        manager stop "$unit_name" >/dev/null 2>&1
    fi
    end_processes
}

# Removes the files that would start a satellite of another kind than $1.
leave_only() {
    if [ "$1" != systemd ] && [ -e "$unit" ]; then
        manager disable "$unit_name" >/dev/null 2>&1
        rm -f "$unit" "$units/default.target.wants/$unit_name"
        manager daemon-reload >/dev/null 2>&1
    fi
    [ "$1" = script ] || rm -f "$root/run" "$root/run.pid" "$root/failures"
}

# A property of the unit.
property() {
    manager show --property="$1" "$unit_name" 2>/dev/null | sed "s/^$1=//"
}

# Whether waiting makes no sense: the satellite failed twice, or nothing starts it again.
is_lost() {
    if [ "$kind" = systemd ]; then
        restarts=$(property NRestarts)
        [ "$(property ActiveState)" = failed ] || [ "${restarts:-0}" -ge 2 ]
        return
    fi
    [ -e "$root/failures" ] || return 1
    failures=0
    { read -r failures <"$root/failures"; } 2>/dev/null
    [ "${failures:-0}" -ge 2 ] || ! supervised
}

# Waits until the satellite listens and its own check succeeds.
await() {
    deadline=$(($(now) + 60))
    while [ "$(now)" -le "$deadline" ]; do
        if serves "$program" "$port" && "$program" --check --data "$data" >/dev/null 2>&1 </dev/null; then
            return 0
        fi
        is_lost && return 1
        nap
    done
    return 1
}

# Where the next satellite's log begins: a time for systemd, a number of bytes for the script.
log_position() {
    case $kind in
        systemd) now ;;
        *) if [ -f "$log" ]; then wc -c <"$log"; else printf 0; fi ;;
    esac
}

# The last lines of the log after the position $1.
last_lines() {
    if [ "$kind" = systemd ]; then
        lines=$(journalctl --user --no-pager -q -o cat -t skypipe-satellite --since "@$1" 2>/dev/null |
            uniq | tail -n 3)
        [ -n "$lines" ] || lines="systemd says $(property Result), exit code $(
            property ExecMainStatus); more may be in: journalctl --user -u $unit_name"
    else
        lines=$(tail -c "+$(($1 + 1))" "$log" 2>/dev/null | uniq | tail -n 3)
    fi
    printf '%s' "${lines:-it said nothing}"
}

# Lets the user's manager run without a login.
enable_linger() {
    who=$(id -un)
    [ "$(loginctl show-user --property=Linger "$who" 2>/dev/null)" = Linger=yes ] && return
    # This is written down first, so that it is undone even if this script ends in between.
    note ready ours
    output=$(loginctl --no-ask-password enable-linger "$who" 2>&1) && return
    note ready no
    notes="lingers=$(printf '%s' "$output" | tr '\n' ' ')"
}

# Stops the satellite that does not work, puts the former one back, and ends with the reason $1.
break_off() {
    stop
    if [ -n "$former_name" ]; then
        if back=$(put_back); then back=yes; else back=${back:-'it does not get ready'}; fi
    else
        leave_only none
    fi
    tell broken "$1"
    [ -z "$former_name" ] || tell back "$back"
    exit 0
}

# Starts the former satellite, whose settings still lie there.
put_back() {
    kind=$former_kind
    starter=$former_starter
    program=$root/bin/$former_name
    port=$former_port
    leave_only "$kind"
    write_starter 2>&1 && start 2>&1 && await
}

# Removes all programs but this one, and uploads whose shell is gone.
tidy() {
    for each in "$root"/bin/skypipe-* "$root"/bin/.new-*; do
        [ "$each" = "$program" ] && continue
        case $each in
            *'/.new-'*)
                upload=${each##*/.new-}
                [ "$(began "${upload%%-*}")" = "${upload#*-}" ] && continue
                ;;
        esac
        rm -f "$each"
    done
}

# Ends a launch that succeeded.
finish() {
    [ "$kind" = systemd ] && enable_linger
    tidy
    [ -n "$notes" ] && printf '%s\n' "$notes"
    tell ready yes
    exit 0
}

# Whether the satellite already runs as planned.
runs_as_planned() {
    [ "$settings" = "$expected" ] && [ "$(value state)" = ready ] && serves "$program" "$port" || return 1
    case $kind in
        systemd) [ "$(cat "$unit" 2>/dev/null)" = "$starter" ] ;;
        script) [ "$(cat "$root/run" 2>/dev/null)" = "$starter" ] && supervised ;;
    esac
}

wait_for_lock || give_up 'the satellite there was removed meanwhile'
[ "$(plain)" = "$expected" ] ||
    give_up 'the satellite there was changed by another launch meanwhile: run this again'
find_manager && is_managed=yes || is_managed=no
if [ "$kind$is_managed" = systemdno ] || [ "$former_kind$is_managed" = systemdno ]; then
    give_up "the user's systemd manager, which keeps the satellite, cannot be reached there now"
fi
output=$("$program" --version 2>&1 </dev/null) ||
    give_up "the program does not run there: ${output:-it said nothing}"
runs_as_planned && finish
for inode in $(listeners "$port"); do
    is_ours "$inode" ||
        give_up "another program listens at port $port there: choose another one with --port"
done
mkdir -p "$data" && chmod 700 "$root" "$data" || give_up "$data cannot be made there"
[ "$(value state)" = ready ] || note begun || give_up 'the settings cannot be written there'
output=$(write_starter 2>&1) || break_off "it cannot be started: $output"
stop || break_off 'the satellite there cannot be stopped'
leave_only "$kind"
position=$(log_position)
output=$(start) || break_off "it cannot be started: $output"
await || break_off "the satellite does not get ready there: $(last_lines "$position")"
note ready || break_off 'the settings cannot be written there'
finish
