//! A root directory without devices, as in a container or a `chroot`.

use std::process::Command;

use crate::common::{Environment, SKYPIPE};
use crate::faults::hosts::{Host, are_possible};

/// A satellite, and a host without `/dev` on which everything else is started.
fn bare() -> Option<(Environment, Host)> {
    let mut sky = Environment::sky(&[]);
    if !are_possible(&sky) {
        return None;
    }
    let host = Host::with_disks(&sky);
    host.does(&sky, "mount -t tmpfs none /dev");
    sky.enter(host.entrance());
    Some((sky, host))
}

#[test]
fn without_a_device_for_it_the_kernel_gives_randomness() {
    let Some((sky, _host)) = bare() else {
        return;
    };
    sky.skypipe(&["-w", "x"]).fed("text\n").printed("");
    sky.skypipe(&["-r", "x"]).done().printed("text\n");
}

#[test]
fn without_any_randomness_a_sentence_says_so() {
    let Some((sky, _host)) = bare() else {
        return;
    };
    if !crate::faults::failing::can_fail(&sky) {
        return;
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "trace", "-e", "trace=getrandom"]);
    command.args(["-e", "inject=getrandom:error=ENOSYS", SKYPIPE, "-w", "x"]);
    let outcome = sky.run(command, "skypipe -w x").fed("text\n");
    let said = "the system provides no randomness: No such file or directory";
    assert_eq!(outcome.told(1, said), b"");
}
