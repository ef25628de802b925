#!/bin/sh
# Plays logind, as far as lingering goes: it is enabled if there is a file for it in FAKE.
fake=FAKE
case $* in
    *show-user*) [ -e "$fake/linger" ] && echo Linger=yes || echo Linger=no ;;
    *enable-linger*)
        [ -e "$fake/refuse" ] && { echo 'Could not enable linger: Access denied' >&2; exit 1; }
        touch "$fake/linger"
        ;;
    *disable-linger*) rm -f "$fake/linger" ;;
esac
