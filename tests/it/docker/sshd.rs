//! An sshd for a test, with its own keys, and an `ssh` and a `podman` that know it.

use std::fs::{self, File, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

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
        let known = directory.join(".ssh/known_hosts");
        fs::create_dir_all(directory.join(".ssh")).expect("there is room");
        fs::write(&known, format!("127.0.0.1 {key}")).expect("there is room");
        let config = format!(
            "ListenAddress 127.0.0.1:22\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n",
            at("host"),
            at("user.pub")
        );
        write(&at("sshd_config"), &config);
        let config = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nIdentityAgent none\nUserKnownHostsFile {}\n\
             GlobalKnownHostsFile none\nStrictHostKeyChecking yes\nLogLevel ERROR\n",
            at("user"),
            known.display()
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
        let log = File::create(program.with_extension("log")).expect("there is room");
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", &at("sshd_config")])
            .stderr(log)
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

    /// The settings with which podman logs in there, for a shell.
    pub fn settings(&self) -> String {
        let home = self.program.parent().expect("it is in a directory");
        let home = home.display();
        format!("HOME={home} CONTAINER_SSHKEY={home}/user")
    }

    /// Whether somebody has logged in.
    pub fn has_served(&self) -> bool {
        let heard = fs::read_to_string(self.program.with_extension("log"));
        heard.expect("it is there").contains("Accepted publickey")
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
