# Keeps the satellite running. It restarts a satellite that failed, after a pause that grows, and ends
# when the satellite ends without a failure. On a signal it stops the satellite and ends. $root and
# $mode are set above; the arguments of this shell are the satellite's command line.

umask 077
LC_ALL=C
export LC_ALL
log=$root/log
most=262144

# With the mode `log`: writes the satellite's output to the log until it ends, at most twice $most
# bytes. This is a process of its own, so that it survives a supervisor that is killed.
if [ "$mode" = log ]; then
    size=0
    [ -f "$log" ] && size=$(wc -c <"$log")
    while IFS= read -r line || [ -n "$line" ]; do
        size=$((size + ${#line} + 1))
        if [ "$size" -gt "$most" ]; then
            mv -f "$log" "$log.old"
            size=$((${#line} + 1))
        fi
        printf '%s\n' "$line" >>"$log"
    done
    exit 0
fi

take "$root/supervisor" || exit 0
printf '%s\n' "$$" >"$root/run.pid.new" && mv -f "$root/run.pid.new" "$root/run.pid"

child='' told=''
stop() {
    told=yes
    [ -n "$child" ] && kill -TERM "$child" 2>/dev/null
}
trap stop TERM INT HUP

# Waits for $child and sets $code. A signal that is caught ends the shell's `wait` but not the child.
await_child() {
    [ -n "$told" ] && kill -TERM "$child" 2>/dev/null
    while :; do
        wait "$child"
        code=$?
        [ "$code" -gt 128 ] && kill -0 "$child" 2>/dev/null || break
    done
    child=''
}

pause=1 failures=0
while [ -z "$told" ]; do
    printf '%s\n' "$failures" >"$root/failures"
    rm -f "$root/words" && mkfifo "$root/words" || exit 1
    sh "$root/run" log <"$root/words" >/dev/null 2>&1 9>&- &
    started=$(date +%s)
    "$@" </dev/null >"$root/words" 2>&1 9>&- &
    child=$!
    await_child
    rm -f "$root/words"
    [ -n "$told" ] || [ "$code" -eq 0 ] && break
    [ $(($(date +%s) - started)) -ge 60 ] && pause=1 failures=0
    failures=$((failures + 1))
    printf '%s\n' "$failures" >"$root/failures"
    sleep "$pause" 9>&- &
    child=$!
    await_child
    pause=$((pause * 2))
    [ "$pause" -gt 60 ] && pause=60
done
rm -f "$root/run.pid"
exit 0
