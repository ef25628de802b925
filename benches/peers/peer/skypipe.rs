//! skypipe: in memory, on disk, private, and with the satellite that starts by itself.

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Abilities, Channel, MUCH, Peer, loopback};
use crate::shaper::{self, Line};

const SKYPIPE: &str = env!("CARGO_BIN_EXE_skypipe");

struct Skypipe {
    name: &'static str,
    process: Child,
    /// The satellite's address, as in `SATELLITE`; `None` for the satellite that starts by itself.
    endpoint: Option<String>,
    home: PathBuf,
    channels: Cell<u32>,
}

/// All variants.
pub fn all(directory: &Path) -> Vec<Box<dyn Peer>> {
    let data = |name: &str| directory.join(name).display().to_string();
    vec![
        Box::new(Skypipe::start("skypipe, memory", directory, &[])),
        Box::new(Skypipe::start(
            "skypipe, disk",
            directory,
            &["--data", &data("disk")],
        )),
        Box::new(Skypipe::start(
            "skypipe, private",
            directory,
            &["--private", "--data", &data("private")],
        )),
        Box::new(Skypipe::local(directory)),
    ]
}

impl Skypipe {
    fn start(name: &'static str, directory: &Path, flags: &[&str]) -> Self {
        let is_private = flags.contains(&"--private");
        let mut command = Command::new(SKYPIPE);
        command
            .args(["--satellite", "127.0.0.1:0"])
            .args(flags)
            .env("HOME", directory);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().expect("the satellite starts");
        let endpoint = if is_private {
            first_line(process.stdout.take().expect("its stdout is piped"), "")
        } else {
            first_line(
                process.stderr.take().expect("its stderr is piped"),
                "listening on ",
            )
        };
        Self {
            name,
            process,
            endpoint: Some(endpoint),
            home: directory.to_owned(),
            channels: Cell::default(),
        }
    }

    /// The satellite that starts by itself. It is started explicitly here, so that its process is
    /// known.
    fn local(directory: &Path) -> Self {
        let home = directory.join("home");
        std::fs::create_dir_all(&home).expect("there is room");
        let command = |args: &[&str]| {
            let mut command = Command::new(SKYPIPE);
            command.args(args).env("HOME", &home);
            for name in [
                "SATELLITE",
                "SKYPIPE_DATA",
                "XDG_RUNTIME_DIR",
                "XDG_DATA_HOME",
                "XDG_STATE_HOME",
            ] {
                command.env_remove(name);
            }
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command
        };
        let process = command(&["--local-satellite", "--idle", "1h"]).spawn();
        // A client waits for the satellite. Otherwise it would start another one, which would then
        // exit at once.
        let found = command(&["--list"]).status().expect("it can be run");
        assert!(found.success(), "the satellite of this machine is there");
        Self {
            name: "skypipe, local",
            process: process.expect("the satellite starts"),
            endpoint: None,
            home,
            channels: Cell::default(),
        }
    }

    fn through(&self, endpoint: Option<String>) -> Channel {
        self.channels.set(self.channels.get() + 1);
        let pipe = format!("channel-{}", self.channels.get());
        let command = |endpoint: &Option<String>, home: &Path, flag: &str, pipe: &str| {
            let mut command = Command::new(SKYPIPE);
            command.arg(flag).env("HOME", home);
            if !pipe.is_empty() {
                command.arg(pipe);
            }
            match endpoint {
                Some(endpoint) => command.env("SATELLITE", endpoint),
                None => command.env_remove("SATELLITE"),
            };
            command
        };
        let (near, home) = (self.endpoint.clone(), self.home.clone());
        let name = pipe.clone();
        let list = {
            let (near, home) = (near.clone(), home.clone());
            move || command(&near, &home, "--list", "")
        };
        let maker = move |flag: &'static str, endpoint: Option<String>| {
            let (home, pipe) = (home.clone(), pipe.clone());
            move || command(&endpoint, &home, flag, &pipe)
        };
        Channel {
            writer: Box::new(maker("-w", endpoint)),
            reader: Box::new(maker("-r", near.clone())),
            once: Box::new(maker("-r", near.clone())),
            follower: Box::new(maker("--follow", near)),
            readers: Box::new(move || listeners(list(), &name)),
            servers: vec![self.process.id()],
            own: Vec::new(),
        }
    }
}

/// The number of listeners of a pipe, from a list of all pipes.
fn listeners(mut list: Command, pipe: &str) -> usize {
    let list = list.stdin(Stdio::null()).output().expect("it can be run");
    let list = String::from_utf8_lossy(&list.stdout);
    let mut rows = list
        .lines()
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    // The columns are: name, unread streams, bytes, writers, listeners.
    let row = rows.find(|row| row.first() == Some(&pipe));
    row.and_then(|row| row.get(4)?.parse().ok()).unwrap_or(0)
}

impl Peer for Skypipe {
    fn name(&self) -> &'static str {
        self.name
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            triggers: true,
            // Part of the 64 MiB of a satellite's memory.
            keeps: if self.name == "skypipe, memory" {
                40_000_000
            } else {
                MUCH
            },
            merges: true,
            broadcasts: true,
            takes_bytes: true,
        }
    }

    fn channel(&self) -> Channel {
        self.through(self.endpoint.clone())
    }

    fn far_channel(&self, line: Line) -> Option<Channel> {
        let near = self.endpoint.as_ref()?;
        let (_, port) = near.split_once("127.0.0.1:")?;
        let digits: String = port.chars().take_while(char::is_ascii_digit).collect();
        let far = shaper::start(loopback(digits.parse().ok()?), line);
        let far = near.replace(&format!(":{digits}"), &format!(":{far}"));
        Some(self.through(Some(far)))
    }
}

impl Drop for Skypipe {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The text after `start` in the first line that begins with it.
fn first_line(output: impl std::io::Read + Send + 'static, start: &'static str) -> String {
    let mut lines = BufReader::new(output).lines();
    let found = lines.find_map(|line| Some(line.ok()?.strip_prefix(start)?.to_owned()));
    // The rest of the output is read, so that the program never blocks.
    std::thread::spawn(move || lines.for_each(drop));
    found.expect("it says where it listens").trim().to_owned()
}
