//! The token of flyctl, Fly.io's own program.
//!
//! Owns where flyctl is looked for. Its configuration file is left to it: flyctl also renews the
//! tokens in there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::provision::child::{finish, without_secrets};

/// The program's two names.
const NAMES: [&str; 2] = ["flyctl", "fly"];

/// How long flyctl may take. It may renew its token meanwhile.
const LIMIT: Duration = Duration::from_secs(30);

/// The flyctl on the path, else the one where its installer puts it. None in a directory that is
/// relative to the current one, which may be anybody's.
pub fn find(path: &str, home: &str) -> Option<PathBuf> {
    let installed = Path::new(home).join(".fly/bin");
    let directories = std::env::split_paths(path).chain([installed]);
    let directories = directories.filter(|directory| directory.is_absolute());
    let programs = directories.flat_map(|directory| NAMES.map(|name| directory.join(name)));
    programs.into_iter().find(|program| program.is_file())
}

/// What `flyctl auth token` prints; `None` if nobody is logged in.
pub fn token(program: &Path) -> Option<Zeroizing<String>> {
    let child = without_secrets(&mut Command::new(program))
        .args(["auth", "token"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let output = finish(child, Vec::new(), LIMIT).ok()?;
    let text = Zeroizing::new(String::from_utf8(output.stdout).ok()?);
    let token = text.lines().rfind(|line| !line.trim().is_empty())?;
    output
        .status
        .success()
        .then(|| Zeroizing::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flyctl_that_does_not_end_is_given_up() {
        // It says `auth token` for ever.
        assert_eq!(token(Path::new("/usr/bin/yes")), None);
    }
}
