//! Other machines, as far as the kernel can simulate them: separate network and mount namespaces.

use std::path::Path;
use std::process::Command;

use crate::common::Environment;
use crate::common::process::Process;

/// The required programs, and their Debian packages.
const TOOLS: [(&str, &str); 4] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
];

/// Whether hosts can be simulated here. Otherwise the test reports why not and is skipped. If
/// `SKYPIPE_NO_SKIP` is set, as in the review of a change, the test fails instead.
pub fn are_possible(home: &Environment) -> bool {
    let needed = TOOLS.iter().find(|(tool, _)| {
        let script = format!("PATH=$PATH:/usr/sbin:/sbin; command -v {tool}");
        home.shell(&script).done().code != Some(0)
    });
    let why = match needed {
        Some((tool, package)) => format!("{tool} is not there: apt-get install {package}"),
        None if home.shell(UNSHARE_TRIAL).done().code != Some(0) => {
            "namespaces are not allowed here: be root".to_owned()
        }
        None => return true,
    };
    let must = std::env::var_os("SKYPIPE_NO_SKIP").is_some();
    assert!(!must, "{why}");
    eprintln!("SKIPPED: {why}");
    false
}

const UNSHARE_TRIAL: &str = "unshare --net --mount mount -t tmpfs none /mnt";

/// A host. It exists as long as its first process does.
pub struct Host {
    first: Process,
    /// Its own namespaces, as flags of `unshare` and `nsenter`.
    own: &'static [&'static str],
    home: String,
}

impl Host {
    /// A host with an empty network of its own.
    pub fn new(home: &Environment) -> Self {
        let host = Self::start(home, &["--net", "--mount"]);
        host.does(home, "ip link set lo up");
        host
    }

    /// The same, with mounts of its own.
    pub fn with_disks(home: &Environment) -> Self {
        Self::start(home, &["--mount"])
    }

    fn start(home: &Environment, own: &'static [&'static str]) -> Self {
        let mut command = Command::new("unshare");
        command.args(own).args(["sh", "-c", "echo ready; exec cat"]);
        let first = home.run(command, "a host").piped().start();
        first.shows("ready\n");
        let home = home.home().to_str().expect("its path is plain").to_owned();
        Self { first, own, home }
    }

    /// The wrapper that starts programs on this host.
    pub fn entrance(&self) -> Vec<String> {
        let pid = self.first.pid().to_string();
        let wd = format!("--wd={}", self.home);
        let words = [&["nsenter", "--target", &pid], self.own, &[&wd, "--"]].concat();
        words.into_iter().map(str::to_owned).collect()
    }

    /// Runs a script on this host.
    pub fn does(&self, home: &Environment, script: &str) {
        let mut command = Command::new("nsenter");
        command.args(&self.entrance()[1..]).args(["sh", "-ec"]);
        command.arg(format!("PATH=$PATH:/usr/sbin:/sbin\n{script}"));
        home.run(command, script).done().success();
    }

    /// Connects this host and another, each with its address.
    pub fn join(&self, home: &Environment, address: &str, other: &Self, its: &str) {
        let pid = other.first.pid();
        let wire = format!("ip link add wire type veth peer name wire netns {pid}");
        self.does(home, &wire);
        for (host, address) in [(self, address), (other, its)] {
            let up = format!("ip address add {address}/24 dev wire; ip link set wire up");
            host.does(home, &up);
        }
    }

    /// Mounts a disk of this many MiB at `path`.
    pub fn mount(&self, home: &Environment, path: &Path, mib: u64) {
        let path = path.display();
        let mount = format!("mkdir -p {path}; mount -t tmpfs -o size={mib}m,mode=700 none {path}");
        self.does(home, &mount);
    }
}
