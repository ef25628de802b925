# Stops the satellite, removes everything of it, and checks that nothing is left.

trap '' HUP
wait_for_lock || true
found=no
find_manager && found=yes
if [ -e "$unit" ]; then
    if [ "$found" = yes ]; then
        words=$(manager disable --now "$unit_name" 2>&1) || tell note "systemctl says: $words"
    fi
    rm -f "$unit" "$units/default.target.wants/$unit_name"
    if [ "$found" = yes ]; then
        manager daemon-reload 2>/dev/null
        manager reset-failed "$unit_name" 2>/dev/null
    fi
fi
end_processes || tell left 'a process that does not end'
if [ "$(value linger)" = ours ]; then
    words=$(loginctl --no-ask-password disable-linger "$(id -un)" 2>&1) ||
        tell note "lingering stays enabled for this account: $words"
fi
words=$(rm -rf "$root" 2>&1) || tell left "$words"

[ -e "$root" ] && tell left "$root"
[ -e "$unit" ] && tell left "$unit"
if [ "$found" = yes ] && [ "$(manager is-active "$unit_name" 2>/dev/null)" = active ]; then
    tell left "$unit_name, which is active"
fi
for pid in $(processes supervisor) $(processes satellite) $(processes logger); do
    tell left "process $pid"
done
if crontab -l 2>/dev/null | grep -q -F "$root/run"; then
    tell note "the account's crontab still has a line with $root/run: remove it with crontab -e"
fi
exit 0
