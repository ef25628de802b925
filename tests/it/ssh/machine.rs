//! A machine for a test that the real systemd has booted, with logind, PAM, sshd and an account.
//!
//! It consists of namespaces, an overlay of `/` in memory and a cgroup. Owns how it is started,
//! inspected and stopped, so that nothing of it is left. `booted.sh` sets it up.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::thread;

use skypipe::provision::ssh::{Ssh, Target};
use tempfile::TempDir;

use crate::ssh::host::{self, eventually, kill};
use crate::ssh::network::Network;
use crate::ssh::parts;

/// The argument of `--setup` for its account.
pub const TARGET: &str = "ssh://booted";

/// The account's home by default. Anything that is not quoted on the way breaks at this name.
const HOME: &str = "/home/a h%me";

/// The account's user id.
const UID: &str = "54321";

/// The files that booting needs, and their packages.
const FILES: [(&str, &str); 5] = [
    ("/lib/systemd/systemd", "systemd"),
    ("/usr/share/pam-configs/systemd", "libpam-systemd"),
    ("/usr/bin/dbus-daemon", "dbus"),
    ("/usr/lib/systemd/user/dbus.socket", "dbus-user-session"),
    ("/usr/lib/polkit-1/polkitd", "polkitd"),
];

/// Why no such machine can be made here, if that is so.
static REFUSAL: LazyLock<Option<String>> = LazyLock::new(|| {
    let place = prepare();
    let probed = run(place.path(), "probe");
    let left = run(place.path(), "leave");
    probed.and(left).err()
});

/// Whether such a machine can be booted here. If not, a test that needs one prints the reason and
/// ends. It fails if only a package is missing and [`parts`] requires all packages.
pub fn is_possible() -> bool {
    let is_missing = |(file, _): &&(&str, &str)| !Path::new(file).exists();
    if !parts::are_there() {
        return false;
    }
    if let Some((file, package)) = FILES.iter().find(is_missing) {
        return parts::do_without(&format!("{file} is not there: apt-get install {package}"));
    }
    if let Some(refusal) = &*REFUSAL {
        eprintln!("SKIPPED: systemd cannot be booted here: {refusal}");
    }
    REFUSAL.is_none()
}

/// A running machine.
pub struct Machine {
    /// The process that waits for the machine's first process.
    keeper: Child,
    /// The machine's first process, by its number on this system.
    first: u32,
    home: String,
    _network: Network,
    place: TempDir,
}

impl Machine {
    /// A machine with the default home.
    pub fn up() -> Self {
        Self::with_home(HOME)
    }

    /// Boots a machine, in a network of its own that this thread enters.
    pub fn with_home(home: &str) -> Self {
        let network = Network::enter();
        let place = prepare();
        let log = fs::File::create(place.path().join("log")).expect("there is room");
        let keeper = command(place.path(), "boot", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("setpriv is installed");
        let mut machine = Self {
            keeper,
            first: 0,
            home: home.to_owned(),
            _network: network,
            place,
        };
        machine.boots();
        machine
    }

    /// Waits until sshd accepts connections.
    fn boots(&mut self) {
        let keeper = self.keeper.id();
        let children = format!("/proc/{keeper}/task/{keeper}/children");
        eventually("the machine is booted", || {
            let ended = self.keeper.try_wait().expect("it is a child");
            assert!(ended.is_none(), "it does not boot: {}", self.log());
            let listed = fs::read_to_string(&children).unwrap_or_default();
            self.first = listed.trim().parse().unwrap_or(0);
            TcpStream::connect(("127.0.0.1", 22)).is_ok()
        });
    }

    fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// A file in the test's own directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// The path on this system of a file of the machine.
    pub fn inside(&self, path: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.first)).join(path.trim_start_matches('/'))
    }

    /// A file in the account's home.
    pub fn home(&self, path: &str) -> PathBuf {
        self.inside(&self.home).join(path)
    }

    /// A provider for the account.
    pub fn provider(&self) -> Ssh {
        let target = Target::parse(TARGET).expect("it is one");
        Ssh::with_program(target, self.file("ssh/ssh"))
    }

    /// The output of a program that root runs on the machine, outside of all sessions.
    pub fn says(&self, words: &[&str]) -> String {
        let output = self.run(words);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The output of `systemctl --user` for the account, outside of all sessions.
    pub fn manager(&self, words: &[&str]) -> String {
        let runtime = format!("XDG_RUNTIME_DIR=/run/user/{UID}");
        let account = ["setpriv", "--reuid", UID, "--regid", UID, "--clear-groups"];
        let program = ["env", &runtime, "systemctl", "--user", "--no-pager"];
        self.says(&[&account[..], &program, words].concat())
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new("nsenter")
            .args(["--target", &self.first.to_string()])
            .args(["--mount", "--pid", "--uts", "--ipc"])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("nsenter is installed")
    }

    /// Whether all processes of the account are gone, including its manager.
    pub fn is_deserted(&self) -> bool {
        let slice = format!("sys/fs/cgroup/user.slice/user-{UID}.slice");
        !self.inside(&slice).exists()
    }

    /// The machine's processes that run from the account's home.
    pub fn processes(&self) -> Vec<(u32, Vec<String>)> {
        let space = |pid: u32| fs::metadata(format!("/proc/{pid}/ns/pid")).map(|space| space.ino());
        let here = space(self.first).expect("it is up");
        let home = format!("{}/", self.home);
        let mut processes = host::processes(|words| words.iter().any(|word| word.contains(&home)));
        processes.retain(|(pid, _)| space(*pid).is_ok_and(|there| there == here));
        processes
    }

    /// The satellites.
    pub fn satellites(&self) -> Vec<u32> {
        let is_one =
            |words: &[String]| words[0].contains("/bin/skypipe-") && words[1] == "--satellite";
        let processes = self.processes().into_iter();
        let satellites = processes.filter(|(_, words)| is_one(words));
        satellites.map(|(pid, _)| pid).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() && self.first != 0 {
            let journal = self.says(&["journalctl", "--no-pager", "-q", "-n", "60"]);
            eprintln!("the machine's journal: {journal}");
        }
        // When the first process is gone, all others and all mounts are gone.
        if self.first != 0 {
            kill(self.first);
        } else {
            let _ = self.keeper.kill();
        }
        let _ = self.keeper.wait();
        let left = run(self.place.path(), "leave");
        let mounts = fs::read_to_string("/proc/self/mounts").expect("there is /proc");
        let place = self.place.path().to_str().expect("it is text");
        if !thread::panicking() {
            assert_eq!(left, Ok(()));
            assert!(!mounts.contains(place), "{mounts}");
        }
    }
}

/// A directory with the script, the keys, and an ssh that knows the machine.
fn prepare() -> TempDir {
    let place = tempfile::tempdir_in("/tmp").expect("there is room");
    let path = place.path();
    fs::write(path.join("booted.sh"), include_str!("booted.sh")).expect("there is room");
    let ssh = path.join("ssh");
    fs::create_dir(&ssh).expect("there is room");
    for key in ["host", "user"] {
        host::make_key(&ssh.join(key));
    }
    let key = fs::read_to_string(ssh.join("host.pub")).expect("it was made");
    fs::write(ssh.join("known"), format!("127.0.0.1 {key}")).expect("there is room");
    let shown = ssh.display();
    let config = format!(
        "Host booted\n  HostName 127.0.0.1\n  User guest\n  IdentityFile {shown}/user\n  \
         IdentitiesOnly yes\n  UserKnownHostsFile {shown}/known\n  GlobalKnownHostsFile none\n  \
         StrictHostKeyChecking yes\n  BatchMode yes\n"
    );
    fs::write(ssh.join("config"), config).expect("there is room");
    let wrapper = format!("#!/bin/sh\nexec ssh -F {shown}/config \"$@\"\n");
    host::executable(&ssh.join("ssh"), &wrapper);
    place
}

/// The script in this directory, run with its own mounts. It ends when the test does.
fn command(place: &Path, mode: &str, home: &str) -> Command {
    let group = place.file_name().expect("it has a name").to_string_lossy();
    let mut command = Command::new("setpriv");
    command
        .args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--cgroup",
            "--mount",
            "sh",
        ])
        .args([&place.join("booted.sh"), Path::new(mode), place])
        .args([&format!("skypipe-{group}"), home]);
    command
}

/// Runs the script to its end.
fn run(place: &Path, mode: &str) -> Result<(), String> {
    let output = command(place, mode, HOME)
        .output()
        .expect("setpriv is installed");
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let words: Vec<&str> = said.split_whitespace().collect();
    Err(format!("{mode}: {}: {}", output.status, words.join(" ")))
}
