//! Programs from Debian that stand between a client and a satellite. Each has its own directory.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::parts;
use crate::common::process::Process;
use crate::common::wait;

/// How often a program is restarted because another process took its port.
const TRIES: usize = 5;

/// A program that listens on a loopback port.
pub struct Server {
    environment: Environment,
    process: Option<Process>,
    command: Vec<String>,
    port: u16,
}

/// How to start a program: its configuration file and its command line.
pub struct Plan {
    /// The program, and its package.
    pub program: (&'static str, &'static str),
    /// The arguments. `CONFIG` and `PORT` stand for the file and the port.
    pub arguments: Vec<&'static str>,
    /// The text of the file. `PORT` and `HERE` stand for the port and the directory.
    pub config: String,
    /// Other files in the directory.
    pub files: Vec<(&'static str, Vec<u8>)>,
}

impl Server {
    /// Starts the program, and waits until it accepts connections. `None` if it is not installed; a
    /// message has then been printed.
    pub fn start(plan: &Plan) -> Option<Self> {
        let (program, package) = plan.program;
        let places = ["/usr/sbin", "/usr/bin"].map(Path::new);
        let path = places.iter().map(|place| place.join(program));
        let Some(path) = path.into_iter().find(|path| path.exists()) else {
            let missing = format!("{program} is not there: apt-get install {package}");
            let _ = parts::do_without(&missing);
            return None;
        };
        (0..TRIES).find_map(|_| Self::try_start(&path, plan))
    }

    fn try_start(path: &Path, plan: &Plan) -> Option<Self> {
        let environment = Environment::here();
        let here = environment.home().to_owned();
        // Some of these programs drop their privileges.
        open(&here);
        let port = free_port();
        let fill = |text: &str| {
            let text = text.replace("CONFIG", &here.join("config").to_string_lossy());
            let text = text.replace("HERE", &here.to_string_lossy());
            text.replace("PORT", &port.to_string())
        };
        environment.put("config", fill(&plan.config));
        for (name, bytes) in &plan.files {
            environment.put(name, bytes);
        }
        let command = std::iter::once(path.to_string_lossy().into_owned());
        let command = command
            .chain(plan.arguments.iter().map(|it| fill(it)))
            .collect();
        let mut server = Self {
            environment,
            process: None,
            command,
            port,
        };
        server.run().then_some(server)
    }

    /// Runs the program. Returns whether it accepts connections.
    fn run(&mut self) -> bool {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        let run = self.environment.run(command, &self.command.join(" "));
        let process = run.start();
        let mut is_up = false;
        wait::until("it accepts connections, or ends", || {
            is_up = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            is_up || !process.runs()
        });
        self.process = Some(process);
        is_up
    }

    /// The program's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The text of a file in the program's directory.
    pub fn file(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.environment.get(name)).into_owned()
    }

    /// Kills the program, and starts it again on the same port.
    pub fn restart(&mut self) {
        let process = self.process.take().expect("it runs");
        process.signal(Signal::KILL);
        drop(process);
        wait::until("its port is free again", || self.run());
    }
}

fn open(directory: &Path) {
    let all = fs::Permissions::from_mode(0o777);
    fs::set_permissions(directory, all).expect("it is ours");
}

/// A port that is free at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// A certificate that nobody trusts, and its key, made once for all tests.
pub fn certificate() -> Option<(Vec<u8>, Vec<u8>)> {
    static MADE: Mutex<Option<(Vec<u8>, Vec<u8>)>> = Mutex::new(None);
    let mut made = MADE.lock().expect("nobody panics in it");
    if made.is_none() {
        if !Path::new("/usr/bin/openssl").exists() {
            let missing = "openssl is not there: apt-get install openssl";
            let _ = parts::do_without(missing);
            return None;
        }
        let environment = Environment::here();
        let place = |name: &str| -> PathBuf { environment.home().join(name) };
        let status = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-days", "2", "-subj", "/CN=front.test"])
            .arg("-keyout")
            .arg(place("key"))
            .arg("-out")
            .arg(place("certificate"))
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("it can be run").success());
        *made = Some((environment.get("certificate"), environment.get("key")));
    }
    made.clone()
}
