#!/bin/sh
# Plays systemd's manager for a user, as far as one unit needs it: keeps its state in the directory
# FAKE, starts what ExecStart says, and writes down what it was asked. It starts nothing again.
fake=FAKE
printf '%s\n' "$*" >>"$fake/calls"
[ -e "$fake/gone" ] && exit 1
while :; do
    case ${1-} in --user | --no-pager | --no-ask-password) shift ;; *) break ;; esac
done
verb=$1
unit=$HOME/.config/systemd/user/skypipe-satellite.service
pid=$(cat "$fake/pid" 2>/dev/null)
alive() { [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }
end() {
    alive && kill -TERM "$pid"
    while alive; do sleep 0.05; done
    rm -f "$fake/pid"
}
case $verb in
    show-environment | daemon-reload | reset-failed | enable) ;;
    disable) [ "$2" = --now ] && end ;;
    stop) end ;;
    restart)
        end
        # The words of ExecStart are read alike by a shell, but for percent signs and dollars.
        eval "set -- $(sed -n 's/^ExecStart=//p' "$unit" | sed 's/%%/%/g; s/\$\$/\\$/g')"
        setsid "$@" </dev/null >>"$fake/journal" 2>&1 &
        echo $! >"$fake/pid"
        ;;
    is-active) alive && echo active || { echo inactive; exit 3; } ;;
    show)
        case $2 in
            --property=ActiveState) alive && echo ActiveState=active || echo ActiveState=failed ;;
            --property=NRestarts) echo NRestarts=0 ;;
        esac
        ;;
    *) exit 1 ;;
esac
