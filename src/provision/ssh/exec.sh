# Runs the satellite's program next to the satellite, with the arguments of this shell.

program=$root/bin/$(value program)
if [ ! -x "$program" ]; then
    printf 'the satellite there is incomplete: run skypipe --setup again\n' >&2
    exit 1
fi
"$program" "$@" --data "$data"
