//! A machine of a test's own that the real systemd has booted, with logind, PAM, sshd and an account.
//!
//! It is made of namespaces, an overlay of `/` in memory and a cgroup. Owns how it is started, looked
//! into and ended, so that nothing of it is left; what it is made of is in `booted.sh`.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::thread;

use skypipe::provision::ssh::{Ssh, Target};
use tempfile::TempDir;

use crate::host::{self, eventually, kill};
use crate::network::Network;
use crate::parts;

/// What is said behind `--setup` for its account.
pub const TARGET: &str = "ssh://booted";

/// Where the account lives, if nothing else is said: whatever is not quoted on the way breaks at it.
const HOME: &str = "/home/a h%me";

/// The account's number.
const UID: &str = "54321";

/// What the machine is booted with, and the packages that it is in.
const FILES: [(&str, &str); 5] = [
    ("/lib/systemd/systemd", "systemd"),
    ("/usr/share/pam-configs/systemd", "libpam-systemd"),
    ("/usr/bin/dbus-daemon", "dbus"),
    ("/usr/lib/systemd/user/dbus.socket", "dbus-user-session"),
    ("/usr/lib/polkit-1/polkitd", "polkitd"),
];

/// Why this machine does not let another one be made, if so.
static REFUSAL: LazyLock<Option<String>> = LazyLock::new(|| {
    let place = prepare();
    let probed = run(place.path(), "probe");
    let left = run(place.path(), "leave");
    probed.and(left).err()
});

/// Whether such a machine can be booted here. A test that needs one says why not, and is over; it fails
/// if only a package is missing where [`parts`] may not be missing either.
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

/// A machine that is up.
pub struct Machine {
    /// What waits for its first process.
    keeper: Child,
    /// Its first process, as it is numbered here.
    first: u32,
    home: String,
    _network: Network,
    place: TempDir,
}

impl Machine {
    /// One whose account lives where any does.
    pub fn up() -> Self {
        Self::with_home(HOME)
    }

    /// Boots one, in a network of its own that this thread enters.
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

    /// Waits until sshd takes connections.
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

    /// A file of the machine, as it is found from here.
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

    /// What a program says that root runs there, outside of all sessions.
    pub fn says(&self, words: &[&str]) -> String {
        let output = self.run(words);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// What `systemctl --user` says to the account, outside of all sessions.
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

    /// Whether the account's processes are gone, its manager too.
    pub fn is_deserted(&self) -> bool {
        let slice = format!("sys/fs/cgroup/user.slice/user-{UID}.slice");
        !self.inside(&slice).exists()
    }

    /// Its processes that run from the account's home.
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
        // With its first process all others are gone, and with them all that was mounted.
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

/// The script in this directory, to be run with mounts of its own. It ends if the test does.
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
