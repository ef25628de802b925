//! A machine with the test's own `/etc` and network.

use std::fs;
use std::process::Command;

use crate::common::network::Network;
use crate::common::process::Run;
use crate::common::satellite::Satellite;
use crate::common::{Environment, SKYPIPE, parts};

/// Replaces the machine's files with the test's own, for one program.
const ENTRANCE: &str =
    "for file in \"$0\"/etc/*; do mount --bind \"$file\" \"/etc/${file##*/}\" || exit 99; done
exec \"$@\"";

/// A user on this machine.
pub struct Machine {
    pub home: Environment,
    _network: Network,
}

impl Machine {
    /// A machine whose `/etc/hosts` has the host `sky.test`. `hosts` are the sources of names.
    /// `None` if such a machine cannot be made here.
    pub fn new(hosts: &str) -> Option<Self> {
        if !parts::are_there() {
            return None;
        }
        let network = Network::enter();
        let mut home = Environment::here();
        fs::create_dir(home.home().join("etc")).expect("there is room");
        home.put("etc/hosts", "127.0.0.1 localhost sky.test\n");
        home.put(
            "etc/nsswitch.conf",
            format!("passwd: files\nhosts: {hosts}\n"),
        );
        home.put("etc/resolv.conf", "nameserver 127.0.0.1\n");
        let at = home.home().to_str().expect("its path is plain").to_owned();
        let words = ["unshare", "--mount", "sh", "-c", ENTRANCE, &at];
        home.enter(words.map(str::to_owned).into());
        Some(Self {
            home,
            _network: network,
        })
    }

    /// A satellite on this machine, and its address with the name of its host.
    pub fn satellite(&self, address: &str, flags: &[&str]) -> (Satellite, String) {
        let satellite = self.home.satellite_at(address, flags);
        let endpoint = format!("tcp://sky.test:{}", port(satellite.endpoint()));
        (satellite, endpoint)
    }

    /// `skypipe ARGUMENTS`, with this path for programs.
    pub fn skypipe_with_path(&self, path: &str, arguments: &[&str]) -> Run {
        let mut command = Command::new("env");
        command
            .arg(format!("PATH={path}"))
            .arg(SKYPIPE)
            .args(arguments);
        self.home
            .run(command, &format!("skypipe {}", arguments.join(" ")))
    }

    /// Makes a `getent` for the test, and returns its directory.
    pub fn getent(&self, script: &str) -> String {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = self.home.home().join("bin");
        fs::create_dir_all(&directory).expect("there is room");
        let path = directory.join("getent");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("there is room");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        format!("{}:/usr/bin:/bin", directory.display())
    }
}

/// The port of an endpoint.
pub fn port(endpoint: &str) -> &str {
    endpoint.rsplit(':').next().expect("there is one")
}
