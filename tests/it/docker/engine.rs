//! A Podman for a test: its storage, its network, and the command that reaches it.

use std::env;
use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::common::podman::configure;
use crate::common::wait;
use crate::docker::network::Network;

const REGISTRIES: &str = "[[registry]]\nlocation=\"127.0.0.1:5000\"\ninsecure=true\n";

/// The environment variable with a `docker` of Docker's own, which then reaches Podman over its
/// service in all these tests.
const DOCKERS_OWN: &str = "SKYPIPE_TEST_DOCKER";

/// A Podman. Dropping it removes its containers.
pub struct Engine {
    directory: TempDir,
    service: Option<Process>,
    _network: Network,
}

/// A process that is killed at the end of the test.
pub struct Process(Child);

impl Engine {
    /// Prepares an engine, and moves the calling thread into its network.
    pub fn start() -> Self {
        let network = Network::enter();
        let directory = tempfile::Builder::new()
            .prefix("sky")
            .tempdir_in("/tmp")
            .expect("there is room");
        configure(directory.path());
        fs::write(directory.path().join("registries.conf"), REGISTRIES).expect("there is room");
        let mut engine = Self {
            directory,
            service: None,
            _network: network,
        };
        let real = match env::var(DOCKERS_OWN) {
            Ok(docker) => {
                let socket = engine.serve();
                format!(
                    "DOCKER_HOST=unix://{} exec {docker} \"$@\"",
                    socket.display()
                )
            }
            Err(_) => "exec podman \"$@\"".to_owned(),
        };
        engine.script("docker", &real);
        engine
    }

    /// Starts Podman's service, and returns its socket.
    pub fn serve(&mut self) -> PathBuf {
        let socket = self.directory.path().join("engine.sock");
        if self.service.is_none() {
            let place = format!("unix://{}", socket.display());
            let service = podman(self.directory.path())
                .args(["system", "service", "--time=0", &place])
                .stderr(Stdio::null())
                .spawn();
            self.service = Some(Process(service.expect("podman is there")));
            wait::until("podman listens", || UnixStream::connect(&socket).is_ok());
        }
        socket
    }

    /// The `docker` of this engine.
    pub fn command(&self) -> PathBuf {
        self.directory.path().join("docker")
    }

    /// Writes a program of this name, which runs the script with the engine's settings.
    pub fn script(&self, name: &str, script: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        let settings = podman(self.directory.path());
        let settings = settings.get_envs().filter_map(|(name, value)| {
            Some(format!(
                "export {}='{}'\n",
                name.to_str()?,
                value?.to_str()?
            ))
        });
        let text = format!("#!/bin/sh\n{}{script}\n", settings.collect::<String>());
        fs::write(&path, text).expect("there is room");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("it is ours");
        path
    }

    /// The directory with all files of the test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The output of `podman` with these arguments.
    pub fn podman(&self, words: &[&str]) -> String {
        let output = podman(self.directory.path())
            .args(words)
            .output()
            .expect("podman is there");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "podman {words:?}: {said}");
        String::from_utf8(output.stdout).expect("it is text")
    }

    /// How many containers there are.
    pub fn count(&self) -> usize {
        self.podman(&["ps", "-aq"]).lines().count()
    }

    /// The id of the satellite's container.
    pub fn container(&self) -> String {
        self.podman(&["inspect", "skypipe-satellite", "--format", "{{.Id}}"])
    }

    /// The names of all images.
    pub fn images(&self) -> String {
        self.podman(&["images", "-a", "--format", "{{.Repository}}:{{.Tag}}"])
    }

    /// The names of all volumes.
    pub fn volumes(&self) -> String {
        self.podman(&["volume", "ls", "-q"])
    }

    /// All containers, volumes and images.
    pub fn left(&self) -> String {
        [self.podman(&["ps", "-aq"]), self.volumes(), self.images()].concat()
    }

    /// Writes a file into the satellite's volume.
    pub fn mark(&self) {
        fs::write(self.marked(), "mark").expect("the volume can be written to");
    }

    /// Whether that file is still there, next to the satellite's own data.
    pub fn is_marked(&self) -> bool {
        let directory = self.marked();
        let files = fs::read_dir(directory.parent().expect("it is in one"))
            .expect("it is there")
            .count();
        directory.exists() && files > 1
    }

    fn marked(&self) -> PathBuf {
        let volume = self.podman(&[
            "volume",
            "inspect",
            "skypipe-satellite-data",
            "--format",
            "{{.Mountpoint}}",
        ]);
        Path::new(volume.trim()).join("mark")
    }

    /// The processes in which Podman keeps the exit of a command in a container, for five minutes,
    /// and those that clean up after it. The latter would create the directory again.
    fn helpers(&self) -> Vec<Pid> {
        let directory = format!("{}/", self.directory.path().display());
        let is_helper = |pid: i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            (line.contains("/conmon\0") || line.contains("/podman\0")) && line.contains(&directory)
        };
        let names = fs::read_dir("/proc").expect("it is mounted").flatten();
        let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| is_helper(*pid))
            .filter_map(Pid::from_raw)
            .collect()
    }

    /// Starts a registry at port 5000.
    pub fn registry(&self) -> Process {
        let config = self.directory.path().join("registry.yml");
        let storage = self.directory.path().join("registry");
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:5000\n",
            storage.display()
        );
        fs::write(&config, text).expect("there is room");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is there");
        let process = Process(child);
        wait::until("the registry listens", || {
            TcpStream::connect("127.0.0.1:5000").is_ok()
        });
        process
    }
}

fn podman(directory: &Path) -> Command {
    let registries = directory.join("registries.conf");
    let mut command = crate::common::podman::podman(directory);
    command
        .env("CONTAINERS_REGISTRIES_CONF", registries)
        .env("TMPDIR", directory);
    command
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The containers would outlive the engine.
        let _ = podman(self.directory.path())
            .args(["rm", "-af", "-t", "0"])
            .output();
        self.service = None;
        // A process that exits may have started another one.
        for _ in 0..3 {
            for helper in self.helpers() {
                let _ = kill_process(helper, Signal::KILL);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
