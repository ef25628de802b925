//! Scripts for the host, put together.
//!
//! Owns how values get into them and how the pieces follow. What they do is in the files beside this
//! one, for any POSIX shell (`dash`, busybox's `ash`).

use std::fmt::Write as _;

const LOCK: &str = include_str!("lock.sh");
const COMMON: &str = include_str!("common.sh");
const RUN: &str = include_str!("run.sh");

/// What there is.
pub const LOOK: &str = include_str!("look.sh");
/// Whether a program is stored.
pub const STORED: &str = include_str!("stored.sh");
/// Stores one.
pub const RECEIVE: &str = include_str!("receive.sh");
/// Launches it.
pub const CHANGE: &str = include_str!("change.sh");
/// Runs something beside it.
pub const BESIDE: &str = include_str!("beside.sh");
/// Removes everything.
pub const DESTROY: &str = include_str!("destroy.sh");

/// A script with the values it is given.
#[derive(Debug)]
pub struct Script {
    values: String,
    body: &'static str,
}

impl Script {
    /// One of the scripts above.
    #[must_use]
    pub fn new(body: &'static str) -> Self {
        Self {
            values: String::new(),
            body,
        }
    }

    /// Gives it a value for a variable of this name.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        let _ = writeln!(self.values, "{name}={}", quoted(value));
        self
    }

    /// Gives it arguments.
    #[must_use]
    pub fn arguments(mut self, words: &[&str]) -> Self {
        let _ = writeln!(self.values, "set -- {}", quoted_all(words));
        self
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> String {
        [LOCK, COMMON, &self.values, self.body].join("\n")
    }
}

/// The script that keeps a satellite running where no systemd does: `root` is its directory, and
/// `command` its program and arguments.
#[must_use]
pub fn supervisor(root: &str, command: &[&str]) -> String {
    let root = quoted(root);
    let command = quoted_all(command);
    let given = format!("mode=${{1-}}\nroot={root}\nset -- {command}\n");
    let text = ["#!/bin/sh\n", &given, LOCK, RUN].join("\n");
    text.trim_end().to_owned()
}

/// The line of a crontab that starts the program at this path with the machine (crontab(5): a percent
/// sign means a new line unless it is escaped).
#[must_use]
pub fn crontab_line(path: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    let word = if path.chars().all(is_plain) {
        path.to_owned()
    } else {
        quoted(path)
    };
    format!("@reboot {}", word.replace('%', "\\%"))
}

/// A word that a POSIX shell reads as exactly this.
#[must_use]
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn quoted_all(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_every_word_as_it_was() {
        for word in [
            "",
            " ",
            "a b",
            "it's",
            "''",
            "$HOME `x` $(x) \\ \" ! * ~ # % \n",
            "é",
        ] {
            let script = format!("printf %s {}", quoted(word));
            let output = Command::new("sh").arg("-c").arg(script).output();
            assert_eq!(output.expect("there is a shell").stdout, word.as_bytes());
        }
    }

    #[test]
    fn a_crontab_line_escapes_what_cron_reads() {
        assert_eq!(crontab_line("/home/me/run"), "@reboot /home/me/run");
        assert_eq!(crontab_line("/home/a b%/run"), "@reboot '/home/a b\\%/run'");
    }
}
