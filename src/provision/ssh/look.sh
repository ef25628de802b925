# Reports what exists. Changes nothing.

tell system "$(uname -sm)"
case $(uname -s) in Linux) ;; *) exit 0 ;; esac
tell root "$root"
find_manager && tell manager yes
# The kernel reports a size of 0 for this file, so its content decides.
[ -n "$(cat /proc/net/if_inet6 2>/dev/null)" ] && tell ipv6 yes
[ -n "$(ls -A "$data/keys" 2>/dev/null)" ] && tell has_keys yes
[ -d "$root" ] || exit 0
tell exists yes
[ -f "$root/settings" ] && sed 's/^/settings=/' "$root/settings"
case $(value supervisor) in
    systemd) [ "$(manager is-active "$unit_name" 2>/dev/null)" = active ] && tell running yes ;;
    script) supervised && [ -n "$(processes satellite)" ] && tell running yes ;;
esac
exit 0
