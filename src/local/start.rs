//! Starts this machine's satellite: once, in the background, independent of its starter.
//!
//! This module owns the new process until it listens. The process itself runs [`mod@super::serve`].

use std::env;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use skypipe_satellite::log;

use super::directory::Directory;
use super::service::service;
use crate::report::{hint, notice, words};

/// The line that a satellite prints on stdout when it listens. Any other line is the reason why it does
/// not.
pub const READY: &str = "ready";

/// The `--idle` of this satellite: it ends after this time with no client and no unread data.
const IDLE: &str = "10m";

/// How long a satellite may take until it listens. It takes milliseconds. A client that reaches nobody
/// gives up after eight seconds, and should know the reason by then.
const PATIENCE: Duration = Duration::from_secs(7);

/// The only environment variables that the satellite inherits. The rest belongs to its first user, tokens
/// and passwords included, and would stay in the process for days.
const NEEDED: [&str; 2] = ["HOME", "SKYPIPE_DATA"];

/// The longest line that is read from a new satellite, in bytes.
const MAX_LINE: usize = 4096;

/// Makes sure that a satellite runs.
///
/// # Errors
///
/// When none runs and none can be started. The text is the reason, for the user.
pub fn ensure(directory: &Directory) -> Result<(), String> {
    let path = directory.path().display();
    let locks = |error| format!("cannot lock files in {path}: {}", words(&error));
    let _start = directory.start_lock().map_err(locks)?;
    let first = !directory.is_used();
    if directory.is_running().map_err(locks)? {
        return Ok(());
    }
    start(directory)?;
    if let Some(service) = service() {
        notice(&format!(
            "a satellite was started inside {service} and may stop with it; to prevent that, use \
             skypipe once outside of it first"
        ));
    }
    if first {
        hint(&format!(
            "a satellite was started on this machine, in {path}; to deploy one that other \
             machines can use: skypipe --setup"
        ));
    }
    Ok(())
}

fn start(directory: &Directory) -> Result<(), String> {
    let cannot = |error| format!("cannot start a satellite: {}", words(&error));
    let log = log::open(&directory.log()).map_err(cannot)?;
    let before = log.metadata().map_err(cannot)?.len();
    let mut child = spawn(log).map_err(cannot)?;
    let said = child
        .stdout
        .take()
        .map(|mut stdout| first_line(&mut stdout))
        .transpose();
    match said.map_err(cannot)?.flatten().as_deref() {
        Some(READY) => {
            // Somebody must reap the process, or it would stay in the process table for as long as this
            // program lives.
            let note = move || drop(child.wait());
            let _ = thread::Builder::new()
                .name("satellite".to_owned())
                .spawn(note);
            Ok(())
        }
        Some("") => Err(format!(
            "cannot start a satellite: {}",
            last_words(directory, before)
        )),
        Some(why) => Err(format!("cannot start a satellite: {why}")),
        None => {
            give_up(&mut child);
            Err("the satellite did not become ready in time".to_owned())
        }
    }
}

fn spawn(log: File) -> io::Result<Child> {
    let needed = NEEDED
        .iter()
        .filter_map(|name| Some((name, env::var_os(name)?)));
    Command::new(program()?)
        .args(["--local-satellite", "--idle", IDLE])
        // The satellite must not keep a file system from being unmounted.
        .current_dir("/")
        .env_clear()
        .envs(needed)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
}

/// The path of this program's executable. If an update has replaced the file, the system still has the old
/// one.
fn program() -> io::Result<PathBuf> {
    let path = env::current_exe()?;
    let running = Path::new("/proc/self/exe");
    Ok(if !path.exists() && running.exists() {
        running.to_owned()
    } else {
        path
    })
}

/// Reads the first line of `stdout`, without its line end. If `stdout` closes early, returns what there is.
/// `None` if it takes too long.
fn first_line(stdout: &mut ChildStdout) -> io::Result<Option<String>> {
    let end = Instant::now() + PATIENCE;
    let mut said = Vec::new();
    loop {
        let left = Timespec::try_from(end.saturating_duration_since(Instant::now())).ok();
        match poll(&mut [PollFd::new(stdout, PollFlags::IN)], left.as_ref()) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut buffer = [0; 512];
        let count = stdout.read(&mut buffer)?;
        said.extend_from_slice(&buffer[..count]);
        if count == 0 || said.contains(&b'\n') || said.len() > MAX_LINE {
            let line = said.split(|byte| *byte == b'\n').next().unwrap_or_default();
            return Ok(Some(String::from_utf8_lossy(line).into_owned()));
        }
    }
}

/// The last lines of the satellite's log behind the first `before` bytes, which belong to earlier runs.
fn last_words(directory: &Directory, before: u64) -> String {
    let mut said = Vec::new();
    // A log that cannot be read counts as empty.
    let _ = File::open(directory.log()).and_then(|mut log| {
        log.seek(SeekFrom::Start(before))?;
        log.read_to_end(&mut said)
    });
    let log = String::from_utf8_lossy(&said).into_owned();
    match log.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => line.trim_start_matches("skypipe: ").to_owned(),
        None => "it stopped at once, without a message".to_owned(),
    }
}

/// Kills a satellite that did not get ready in time, so that no forgotten one stays behind.
fn give_up(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
