//! The token of flyctl, Fly.io's own program.
//!
//! Owns where flyctl is looked for. Its configuration file is left to it: flyctl also renews the
//! tokens in there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

/// The program's two names.
const NAMES: [&str; 2] = ["flyctl", "fly"];

/// The flyctl on the path, else the one where its installer puts it.
pub fn find(path: &str, home: &str) -> Option<PathBuf> {
    let installed = Path::new(home).join(".fly/bin");
    let directories = std::env::split_paths(path).chain([installed]);
    let programs = directories.flat_map(|directory| NAMES.map(|name| directory.join(name)));
    programs.into_iter().find(|program| program.is_file())
}

/// What `flyctl auth token` prints; `None` if nobody is logged in.
pub fn token(program: &Path) -> Option<Zeroizing<String>> {
    let output = Command::new(program)
        .args(["auth", "token"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = Zeroizing::new(String::from_utf8(output.stdout).ok()?);
    let token = text.lines().rfind(|line| !line.trim().is_empty())?;
    output
        .status
        .success()
        .then(|| Zeroizing::new(token.to_owned()))
}
