//! The directory of this machine's satellite.
//!
//! This module makes sure that only its user can open it, and owns the file names and locks in it. Anyone
//! who can open this directory can read every pipe: a satellite without keys has no other protection.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use skypipe_satellite::private_files;

use crate::exit::Failure;
use crate::report::words;

const SOCKET: &str = "satellite.sock";
const LOCK: &str = "satellite.lock";
const START: &str = "start.lock";
const LOG: &str = "satellite.log";

/// The longest path of a Unix socket, in bytes: the 108 of Linux (104 elsewhere) without the terminating
/// zero.
const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The open directory, checked to belong to this user alone.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    handle: File,
}

impl Directory {
    /// Opens the directory at `path`, and creates it if needed.
    ///
    /// # Errors
    ///
    /// When it cannot be created, or is not safe.
    pub fn make(path: &Path) -> Result<Self, Failure> {
        let made = private_files(|| DirBuilder::new().recursive(true).mode(0o700).create(path));
        made.map_err(|error| Failure::failed(fault(path, "cannot be made", &error)))?;
        Self::open(path)?.ok_or_else(|| {
            Failure::failed(format!(
                "the directory {} was removed just now",
                path.display()
            ))
        })
    }

    /// Opens the directory at `path`. `None` if there is none.
    ///
    /// # Errors
    ///
    /// When it is no directory, belongs to somebody else, or cannot be closed to others.
    pub fn open(path: &Path) -> Result<Option<Self>, Failure> {
        let handle = match File::open(path) {
            Ok(handle) => handle,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::failed(fault(path, "cannot be opened", &error))),
        };
        let directory = Self {
            path: path.to_owned(),
            handle,
        };
        directory.check()?;
        Ok(Some(directory))
    }

    fn check(&self) -> Result<(), Failure> {
        let path = &self.path;
        let refuse = |what| Err(Failure::failed(format!("{} {what}", path.display())));
        let found = self
            .handle
            .metadata()
            .map_err(|error| Failure::failed(fault(path, "cannot be examined", &error)))?;
        if !found.is_dir() {
            return refuse("is not a directory: move it away");
        }
        if found.uid() != rustix::process::geteuid().as_raw() {
            return refuse("belongs to another user, who could read your pipes");
        }
        if found.mode() & 0o077 != 0 {
            self.handle
                .set_permissions(Permissions::from_mode(0o700))
                .map_err(|error| Failure::failed(fault(path, "is open to others", &error)))?;
        }
        Ok(())
    }

    /// The path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the satellite's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// The path of the socket. It is valid as long as the directory is open: a path that is too long for a
    /// socket, or not UTF-8, is replaced by one through the open directory.
    ///
    /// # Errors
    ///
    /// When the path is unusable, on a system without such a replacement.
    pub fn socket(&self) -> Result<PathBuf, String> {
        let path = self.path.join(SOCKET);
        match path.to_str() {
            Some(text) if text.len() <= MAX_SOCKET_PATH => Ok(path),
            _ if cfg!(target_os = "linux") => {
                Ok(format!("/proc/self/fd/{}/{SOCKET}", self.handle.as_raw_fd()).into())
            }
            _ => Err(format!(
                "the path {} is too long for a socket",
                path.display()
            )),
        }
    }

    /// The files by which others find a satellite and know that it runs.
    #[must_use]
    pub fn found_by(&self) -> Vec<PathBuf> {
        vec![self.path.join(SOCKET), self.path.join(LOCK)]
    }

    /// The open directory's handle, which keeps the socket's path valid.
    #[must_use]
    pub fn into_handle(self) -> File {
        self.handle
    }

    /// Whether a satellite runs. The check holds a shared lock on the satellite's lock file for a moment; a
    /// satellite that starts just then waits for that moment.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be opened or checked.
    pub fn is_running(&self) -> io::Result<bool> {
        match flock(self.open_file(LOCK)?, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a satellite has ever run here.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.path.join(LOCK).exists()
    }

    /// Waits for the lock that a satellite holds for life, and takes it.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or locked.
    pub fn lock(&self) -> io::Result<File> {
        locked(self.open_file(LOCK)?)
    }

    /// Waits for the lock of those who start a satellite, and takes it.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or locked.
    pub fn start_lock(&self) -> io::Result<File> {
        locked(self.open_file(START)?)
    }

    /// The running satellite's process id, as it wrote it down.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.path.join(LOCK)).ok()?;
        text.trim().parse().ok()
    }

    fn open_file(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        private_files(|| options.open(self.path.join(name)))
    }
}

fn locked(file: File) -> io::Result<File> {
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn fault(path: &Path, what: &str, error: &io::Error) -> String {
    format!("the directory {} {what}: {}", path.display(), words(error))
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;

    use super::*;

    /// A directory for this test alone, removed with its content at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let path = env::temp_dir().join(format!("skypipe-{}", uuid::Uuid::new_v4()));
            fs::create_dir(&path).expect("there is room for temporary files");
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn it_is_made_for_its_user_alone() {
        let scratch = Scratch::new();
        let path = scratch.0.join("a/b");
        assert!(Directory::open(&path).expect("nothing is wrong").is_none());
        Directory::make(&path).expect("it can be made");
        let mode = |path| fs::metadata(path).expect("it is there").mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("it is ours");
        Directory::make(&path).expect("it can be closed again");
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn a_file_in_its_place_is_refused() {
        let scratch = Scratch::new();
        let path = scratch.0.join("file");
        fs::write(&path, "").expect("there is room");
        assert!(Directory::make(&path).is_err());
        assert!(Directory::open(&path).is_err());
    }

    #[test]
    fn a_long_path_is_shortened() {
        let scratch = Scratch::new();
        let short = Directory::make(&scratch.0).expect("it is ours");
        assert_eq!(short.socket(), Ok(scratch.0.join("satellite.sock")));
        let long = Directory::make(&scratch.0.join("x".repeat(200))).expect("it can be made");
        let socket = long.socket().expect("Linux has a way");
        assert!(socket.starts_with("/proc/self/fd/"), "{socket:?}");
        fs::write(&socket, "").expect("the way leads there");
        assert!(
            scratch
                .0
                .join("x".repeat(200))
                .join("satellite.sock")
                .exists()
        );
    }

    #[test]
    fn the_lock_tells_whether_a_satellite_runs() {
        let scratch = Scratch::new();
        let directory = Directory::make(&scratch.0).expect("it is ours");
        assert!(!directory.is_used());
        assert!(!directory.is_running().expect("it can be locked"));
        let lock = directory.lock().expect("nobody holds it");
        assert!(directory.is_running().expect("it can be looked at"));
        drop(lock);
        assert!(!directory.is_running().expect("it can be locked"));
        assert!(directory.is_used());
    }
}
