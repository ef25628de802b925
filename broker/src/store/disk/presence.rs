//! Whether files still are where they were put.
//!
//! A file or a directory that is removed lives on, without a name, for those who have it open: all that is
//! written there succeeds and is gone. Owns the comparison of a path with what was there at the beginning.
//! It holds for as long as somebody has the file open: only then no other gets its number.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Paths, and what was there.
#[derive(Debug, Clone, Default)]
pub struct Presence(Vec<(PathBuf, Identity)>);

/// The device, and the number of the file there.
type Identity = (u64, u64);

impl Presence {
    /// Takes note of what is at these paths.
    ///
    /// # Errors
    ///
    /// When there is nothing, or it cannot be looked at.
    pub fn of<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> io::Result<Self> {
        let noted = paths.into_iter().map(|path| {
            let path = path.as_ref().to_owned();
            let identity = identity(&path)?;
            Ok((path, identity))
        });
        Ok(Self(noted.collect::<io::Result<_>>()?))
    }

    /// Looks whether all of it is still there. What cannot be looked at just now counts as there.
    ///
    /// # Errors
    ///
    /// When something is not, with a sentence that says what.
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
