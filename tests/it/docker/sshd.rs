//! An sshd for a test, with its own keys, and an `ssh` that knows it as `sky`.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::wait;

/// A running sshd.
pub struct Sshd {
    child: Child,
    program: PathBuf,
}

impl Sshd {
    /// Starts sshd in the calling thread's network, where port 22 is free.
    pub fn start(directory: &Path) -> Self {
        let at = |name: &str| directory.join(name).display().to_string();
        for name in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            let status = keygen
                .args(["-q", "-t", "ed25519", "-N", "", "-f", &at(name)])
                .status();
            assert!(status.expect("ssh-keygen is there").success());
        }
        let key = fs::read_to_string(at("host.pub")).expect("it was made");
        write(&at("known"), &format!("127.0.0.1 {key}"));
        let config = format!(
            "ListenAddress 127.0.0.1:22\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n",
            at("host"),
            at("user.pub")
        );
        write(&at("sshd_config"), &config);
        let config = format!(
            "Host sky\n HostName 127.0.0.1\nHost nobody\n HostName 127.0.0.1\n Port 1\nHost *\n IdentityFile {}\n \
             IdentitiesOnly yes\n IdentityAgent none\n UserKnownHostsFile {}\n GlobalKnownHostsFile none\n \
             StrictHostKeyChecking yes\n LogLevel ERROR\n ControlMaster auto\n ControlPath {}\n",
            at("user"),
            at("known"),
            at("control")
        );
        write(&at("ssh_config"), &config);
        let program = directory.join("ssh");
        write(
            &at("ssh"),
            &format!("#!/bin/sh\nexec ssh -F {} \"$@\"\n", at("ssh_config")),
        );
        fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("it is ours");
        // sshd separates its privileges in a directory that is missing on a system without a
        // running sshd.
        fs::create_dir_all("/run/sshd").expect("root may");
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", &at("sshd_config")])
            .stderr(Stdio::null())
            .spawn()
            .expect("sshd is there");
        let sshd = Self { child, program };
        wait::until("sshd listens", || {
            TcpStream::connect("127.0.0.1:22").is_ok()
        });
        sshd
    }

    /// The ssh program that knows this server.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// How many clients are logged in.
    pub fn clients(&self) -> usize {
        let path = format!("/proc/{0}/task/{0}/children", self.child.id());
        fs::read_to_string(path)
            .expect("it lives")
            .split_whitespace()
            .count()
    }

    /// Whether all clients log out within a short time.
    pub fn is_left(&self) -> bool {
        wait::holds_within(wait::PATIENCE, || self.clients() == 0)
    }
}

fn write(path: &str, text: &str) {
    fs::write(path, text).expect("there is room");
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
