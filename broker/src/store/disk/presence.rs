//! Detects files that were moved or removed.
//!
//! A removed file or directory stays, without a name, for programs that have it open: all writes succeed, and
//! the data is lost. This module compares a path with what was there at the beginning. The comparison is
//! valid as long as the file is open, because only then can no other file get the same inode number.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Paths, and the files found there.
#[derive(Debug, Clone, Default)]
pub struct Presence(Vec<(PathBuf, Identity)>);

/// The device and the inode number of a file.
type Identity = (u64, u64);

impl Presence {
    /// Notes the files at these paths.
    ///
    /// # Errors
    ///
    /// If there is nothing at a path, or it cannot be examined.
    pub fn of<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> io::Result<Self> {
        let noted = paths.into_iter().map(|path| {
            let path = path.as_ref().to_owned();
            let identity = identity(&path)?;
            Ok((path, identity))
        });
        Ok(Self(noted.collect::<io::Result<_>>()?))
    }

    /// Checks that all files are still there. A file that cannot be examined now counts as there.
    ///
    /// # Errors
    ///
    /// If a file is gone. The sentence says which one.
    pub fn check(&self) -> Result<(), String> {
        for (path, before) in &self.0 {
            let what = match identity(path) {
                Ok(now) if now == *before => continue,
                Ok(_) => "replaced",
                Err(error) if is_gone(&error) => "removed",
                Err(_) => continue,
            };
            return Err(format!("{} was {what} while it was in use", path.display()));
        }
        Ok(())
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Whether an error says that a path leads nowhere.
fn is_gone(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    let ways = [Errno::NOTDIR, Errno::LOOP, Errno::STALE];
    error.kind() == ErrorKind::NotFound || number.is_some_and(|number| ways.contains(&number))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn what_is_removed_or_replaced_is_told_by_its_path() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("data");
        let file = directory.join("lock");
        fs::create_dir(&directory).unwrap();
        let open = File::create(&file).unwrap();
        let presence = Presence::of([&directory, &file]).unwrap();
        presence.check().unwrap();
        fs::remove_file(&file).unwrap();
        let removed = presence.check().unwrap_err();
        assert!(removed.contains("lock was removed"), "{removed}");
        File::create(&file).unwrap();
        let replaced = presence.check().unwrap_err();
        assert!(replaced.contains("lock was replaced"), "{replaced}");
        fs::rename(&directory, home.path().join("elsewhere")).unwrap();
        let moved = presence.check().unwrap_err();
        assert!(moved.contains("data was removed"), "{moved}");
        drop(open);
        Presence::of([&directory]).unwrap_err();
    }
}
