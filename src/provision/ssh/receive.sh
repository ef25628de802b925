# Stores the program that comes on stdin as $name.

mkdir -p "$root/bin" && chmod 700 "$root" || give_up "$root cannot be made there"
new=$root/bin/.new-$$-$(began "$$")
if ! words=$({ cat >"$new" && chmod 700 "$new"; } 2>&1); then
    rm -f "$new"
    give_up "the program cannot be stored: $words"
fi
if [ "$(wc -c <"$new")" -ne "$size" ]; then
    rm -f "$new"
    give_up 'the program did not arrive whole'
fi
if command -v sha256sum >/dev/null 2>&1; then
    case $(sha256sum <"$new") in
        "$digest"*) ;;
        *) rm -f "$new"; give_up 'the program arrived with other bytes than were sent' ;;
    esac
fi
words=$(mv -f "$new" "$root/bin/$name" 2>&1) || give_up "the program cannot be stored: $words"
tell stored yes
