//! Finds the ssh program. It is the user's own, so that the user's settings, keys and known hosts
//! apply.
//!
//! Owns how the program is found. Never starts it.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;

use crate::exit::Failure;

/// The environment variable that names the program if it is not the `ssh` on the path, like
/// `GIT_SSH` for git.
const VARIABLE: &str = "SKYPIPE_SSH";

/// The ssh program: the one that `SKYPIPE_SSH` names, else the `ssh` on the path.
///
/// # Errors
///
/// When there is none.
pub fn ssh_program() -> Result<PathBuf, Failure> {
    if let Some(named) = env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    on_path("ssh", &env::var_os("PATH").unwrap_or_default()).ok_or_else(|| {
        Failure::failed(format!(
            "there is no program 'ssh' here: install OpenSSH's client, or name it in {VARIABLE}"
        ))
    })
}

/// The program of this name in the first directory of `path` that has it. A directory that is
/// relative to the current one is passed over: the current one may be anybody's.
#[must_use]
pub fn on_path(name: &str, path: &OsStr) -> Option<PathBuf> {
    let directories = env::split_paths(path).filter(|directory| directory.is_absolute());
    let mut programs = directories.map(|directory| directory.join(name));
    programs.find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_for_on_the_path() {
        let scratch = tempfile::tempdir().expect("there is room");
        let [empty, full] = ["empty", "full"].map(|name| scratch.path().join(name));
        std::fs::create_dir(&empty).expect("there is room");
        std::fs::create_dir(&full).expect("there is room");
        std::fs::write(full.join("ssh"), "").expect("there is room");
        let path = env::join_paths([&empty, &full]).expect("there is no colon in them");
        assert_eq!(on_path("ssh", &path), Some(full.join("ssh")));
        assert_eq!(on_path("ssh", empty.as_os_str()), None);
        // Tests run in the directory of the package.
        for here in ["", ".", "./", ":"] {
            assert_eq!(on_path("Cargo.toml", OsStr::new(here)), None, "{here:?}");
        }
    }
}
