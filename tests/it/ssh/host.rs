//! A host for a test: a real sshd on loopback, with its own keys, configuration and home.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use skypipe::provision::ssh::{Ssh, Target};
use tempfile::TempDir;

use crate::common::wait::holds_within;
use crate::ssh::network::Network;

/// How long a condition may take to hold.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name of the account's home. Anything that is not quoted on the way breaks at this name.
const HOME: &str = "it's h%me";

/// The port of sshd in the test's own network.
const PORT: u16 = 22;

/// The properties of a host that a test can choose.
#[derive(Debug)]
pub struct Manner<'a> {
    /// The name of the account's home.
    pub home: &'a str,
    /// A shell script that is run in place of each command. It finds the command in
    /// `SSH_ORIGINAL_COMMAND`. Without it, the account's own shell runs the command.
    pub shell: Option<&'a str>,
    /// If set, only these programs and those in the host's own `bin` are on the path.
    pub programs: Option<&'a [&'a str]>,
}

impl Default for Manner<'_> {
    fn default() -> Self {
        Self {
            home: HOME,
            shell: None,
            programs: None,
        }
    }
}

/// A running host. Dropping it kills everything that runs from its home.
pub struct Host {
    sshd: Child,
    home: PathBuf,
    _network: Network,
    scratch: TempDir,
}

impl Host {
    /// A host with default properties.
    pub fn up() -> Self {
        Self::with(&Manner::default())
    }

    /// A host with these properties.
    pub fn with(manner: &Manner) -> Self {
        let network = Network::enter();
        let scratch = tempfile::tempdir_in("/tmp").expect("there is room");
        let path = scratch.path();
        for name in [manner.home, "bin", "ssh"] {
            fs::create_dir(path.join(name)).expect("there is room");
        }
        for key in ["host", "user"] {
            make_key(&path.join("ssh").join(key));
        }
        let search = search_path(path, manner);
        configure(path, manner, &search);
        let sshd = Command::new("nsenter")
            .args(["--target", &network.pid().to_string(), "--mount", "--net"])
            .args(["/usr/sbin/sshd", "-D", "-e", "-f"])
            .arg(path.join("ssh/sshd_config"))
            .env_remove("XDG_RUNTIME_DIR")
            .stdin(Stdio::null())
            .stderr(fs::File::create(path.join("sshd.log")).expect("there is room"))
            .spawn()
            .expect("nsenter is installed");
        let host = Self {
            sshd,
            home: path.join(manner.home),
            _network: network,
            scratch,
        };
        eventually("sshd listens", || {
            TcpStream::connect(("127.0.0.1", PORT)).is_ok()
        });
        host
    }

    /// The home of the account on the host.
    pub fn home(&self) -> PathBuf {
        self.home.clone()
    }

    /// A directory on the path of the account's sessions.
    pub fn bin(&self) -> PathBuf {
        self.scratch.path().join("bin")
    }

    /// A file in the test's own directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The directory with everything of a satellite.
    pub fn root(&self) -> PathBuf {
        self.home().join(".local/share/skypipe-satellite")
    }

    /// Installs a program with this text on the path of the account's sessions.
    pub fn install(&self, name: &str, text: &str) {
        executable(&self.bin().join(name), text);
    }

    /// A provider for this host.
    pub fn provider(&self) -> Ssh {
        self.provider_for("ssh://here")
    }

    /// A provider for a target that the test's ssh configuration defines.
    pub fn provider_for(&self, target: &str) -> Ssh {
        let target = Target::parse(target).expect("it is one");
        Ssh::with_program(target, self.file("ssh/ssh"))
    }

    /// The processes that run from the account's home, with their command lines.
    pub fn processes(&self) -> Vec<(u32, Vec<String>)> {
        let home = self.home();
        let home = home.to_str().expect("it is text");
        processes(|words| words.iter().any(|word| word.contains(home)))
    }

    /// The processes that are satellites.
    pub fn satellites(&self) -> Vec<u32> {
        let processes = self.processes().into_iter();
        let satellites = processes
            .filter(|(_, words)| words[0].contains("/bin/skypipe-") && words[1] == "--satellite");
        satellites.map(|(pid, _)| pid).collect()
    }

    /// The processes that keep satellites running.
    pub fn supervisors(&self) -> Vec<u32> {
        let processes = self.processes().into_iter();
        let supervisors = processes.filter(|(_, words)| {
            words
                .last()
                .is_some_and(|word| word.ends_with("/skypipe-satellite/run"))
        });
        supervisors.map(|(pid, _)| pid).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
        // Supervisors are killed first, so that nothing is restarted.
        for pid in self.supervisors() {
            kill(pid);
        }
        for (pid, _) in self.processes() {
            kill(pid);
        }
    }
}

/// Kills a process.
pub fn kill(pid: u32) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let pid = pid.expect("it is a process's number");
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// Waits until a condition holds.
pub fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    assert!(
        holds_within(PATIENCE, is_so),
        "it never came true that {what}"
    );
}

/// All processes whose command lines match.
pub fn processes(are_such: impl Fn(&[String]) -> bool) -> Vec<(u32, Vec<String>)> {
    let entries = fs::read_dir("/proc").expect("there is /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let processes = pids.filter_map(|pid: u32| {
        let text = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let text = String::from_utf8_lossy(&text);
        let words: Vec<String> = text
            .trim_end_matches('\0')
            .split('\0')
            .map(String::from)
            .collect();
        (words.len() > 1 && are_such(&words)).then_some((pid, words))
    });
    processes.collect()
}

/// Makes an ssh key pair.
pub fn make_key(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status()
        .expect("ssh-keygen is installed");
    assert!(made.success());
}

/// The path of the sessions: the host's own directory, then the system's, or only some programs of
/// the system.
fn search_path(path: &Path, manner: &Manner) -> String {
    let own = path.join("bin");
    let Some(programs) = manner.programs else {
        return format!(
            "{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            own.display()
        );
    };
    for program in programs {
        let found = ["/usr/bin", "/bin", "/usr/sbin"]
            .iter()
            .map(|place| Path::new(place).join(program))
            .find(|found| found.exists());
        symlink(found.expect("it is installed"), own.join(program)).expect("there is room");
    }
    own.display().to_string()
}

fn configure(path: &Path, manner: &Manner, search: &str) {
    let ssh = path.join("ssh");
    let shown = ssh.display();
    let home = path.join(manner.home).display().to_string();
    let mut sshd = format!(
        "Port {PORT}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nPidFile none\nUsePAM no\n\
         StrictModes no\nAuthorizedKeysFile {shown}/user.pub\nPermitRootLogin yes\n\
         PasswordAuthentication no\nMaxStartups 100\nSetEnv \"HOME={home}\" PATH={search}\n"
    );
    if let Some(shell) = manner.shell {
        executable(&ssh.join("shell"), shell);
        sshd.push_str("ForceCommand ");
        sshd.push_str(ssh.join("shell").to_str().expect("it is text"));
        sshd.push('\n');
    }
    fs::write(ssh.join("sshd_config"), sshd).expect("there is room");
    let host = fs::read_to_string(ssh.join("host.pub")).expect("it was made");
    let user = fs::read_to_string(ssh.join("user.pub")).expect("it was made");
    fs::write(ssh.join("known"), format!("127.0.0.1 {host}")).expect("there is room");
    fs::write(ssh.join("wrong"), format!("127.0.0.1 {user}")).expect("there is room");
    let config = format!(
        "Host here changed closed\n  HostName 127.0.0.1\nHost changed\n  \
         UserKnownHostsFile {shown}/wrong\nHost closed\n  PubkeyAuthentication no\nHost *\n  \
         User root\n  Port {PORT}\n  IdentityFile {shown}/user\n  IdentitiesOnly yes\n  \
         UserKnownHostsFile {shown}/known\n  GlobalKnownHostsFile none\n  \
         StrictHostKeyChecking yes\n  BatchMode yes\n"
    );
    fs::write(ssh.join("config"), config).expect("there is room");
    let wrapper = format!("#!/bin/sh\nexec ssh -F {shown}/config \"$@\"\n");
    executable(&ssh.join("ssh"), &wrapper);
}

/// Writes an executable file.
pub fn executable(path: &Path, text: &str) {
    fs::write(path, text).expect("there is room");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}
