# Runs the satellite's program next to the satellite, with the arguments of this shell.

program=$root/bin/$(value program)
if [ ! -x "$program" ]; then
    printf 'there is no whole satellite on the host: launch it again\n' >&2
    exit 1
fi
"$program" "$@" --data "$data"
