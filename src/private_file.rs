//! Small files that are for this user alone.
//!
//! Owns how one is written: whole or not at all, and never readable by others, not even for a moment.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

/// Puts `bytes` in the place of what the file at `path` held, and makes the directory it is in.
///
/// # Errors
///
/// When the system refuses; then what the file held is still there.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let fresh = path.with_extension(format!("{}", std::process::id()));
    // In a container each process may have the same number as one that was killed right here.
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
        // What is left of it may be a secret.
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// What the file at `path` holds, if there is one; at most `limit` bytes of it.
///
/// # Errors
///
/// When the system refuses, or it is no UTF-8.
pub fn read(path: &Path, limit: u64) -> io::Result<Option<Zeroizing<String>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let room = usize::try_from(limit).unwrap_or(usize::MAX).min(1 << 16);
    // With room for all of it from the start: a buffer that grows leaves its old place unwiped.
    let mut text = Zeroizing::new(String::with_capacity(2 * room));
    file.take(limit).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Removes the file at `path`, if there is one; whether there was.
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
