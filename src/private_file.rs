//! Small files that only this user may read.
//!
//! This module replaces a file atomically. The file is never readable by others, not even for a moment.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

/// Replaces the content of the file at `path` with `bytes`, and creates the file's directory if needed.
///
/// # Errors
///
/// When the system refuses. The old content is then still in place.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let fresh = path.with_extension(format!("{}", std::process::id()));
    // In a container a new process may have the same id as one that was killed before it could rename its
    // file.
    remove(&fresh)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&fresh, path))
        .and_then(|()| File::open(directory)?.sync_all());
    if written.is_err() {
        // The unfinished file may contain a secret.
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// Reads at most `limit` bytes of the file at `path`. `None` if there is no file.
///
/// # Errors
///
/// When the system refuses, or the content is not UTF-8.
pub fn read(path: &Path, limit: u64) -> io::Result<Option<Zeroizing<String>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let room = usize::try_from(limit).unwrap_or(usize::MAX).min(1 << 16);
    // The capacity suffices from the start: a buffer that grows leaves its old memory unwiped.
    let mut text = Zeroizing::new(String::with_capacity(2 * room));
    file.take(limit).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Removes the file at `path`. Returns whether there was one.
///
/// # Errors
///
/// When the system refuses.
pub fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn what_is_put_is_there_for_this_user_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b/secret");
        assert_eq!(read(&path, 10).unwrap(), None);
        replace(&path, b"one").unwrap();
        replace(&path, b"another").unwrap();
        assert_eq!(read(&path, 10).unwrap().unwrap().as_str(), "another");
        assert_eq!(read(&path, 3).unwrap().unwrap().as_str(), "ano");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let directory = path.parent().unwrap();
        assert_eq!(fs::metadata(directory).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(directory).unwrap().count(), 1);
        assert!(remove(&path).unwrap() && !remove(&path).unwrap());
    }
}
