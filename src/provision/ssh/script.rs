//! Puts together the scripts for the host.
//!
//! Owns how values get into the scripts, and the order of the pieces. The scripts themselves are in
//! the files next to this one, for any POSIX shell (`dash`, busybox's `ash`).

use std::fmt::Write as _;

const LOCK: &str = include_str!("lock.sh");
const COMMON: &str = include_str!("common.sh");
const RUN: &str = include_str!("run.sh");

/// Reports what exists on the host.
pub const LOOK: &str = include_str!("look.sh");
/// Reports whether a program is stored.
pub const STORED: &str = include_str!("stored.sh");
/// Stores a program.
pub const RECEIVE: &str = include_str!("receive.sh");
/// Launches a stored program.
pub const CHANGE: &str = include_str!("change.sh");
/// Runs a command next to the satellite.
pub const EXEC: &str = include_str!("exec.sh");
/// Removes everything.
pub const REMOVE: &str = include_str!("remove.sh");

/// A script with its values.
#[derive(Debug)]
pub struct Script {
    values: String,
    body: &'static str,
}

impl Script {
    /// Creates a script from one of the texts above.
    #[must_use]
    pub fn new(body: &'static str) -> Self {
        Self {
            values: String::new(),
            body,
        }
    }

    /// Sets a variable of the script.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        let _ = writeln!(self.values, "{name}={}", quoted(value));
        self
    }

    /// Sets the script's positional arguments.
    #[must_use]
    pub fn arguments(mut self, words: &[&str]) -> Self {
        let _ = writeln!(self.values, "set -- {}", quoted_all(words));
        self
    }

    /// The complete text.
    #[must_use]
    pub fn text(&self) -> String {
        [LOCK, COMMON, &self.values, self.body].join("\n")
    }
}

/// The script that keeps a satellite running where there is no systemd. `root` is the satellite's
/// directory, and `command` its program and arguments.
#[must_use]
pub fn supervisor(root: &str, command: &[&str]) -> String {
    let root = quoted(root);
    let command = quoted_all(command);
    let given = format!("mode=${{1-}}\nroot={root}\nset -- {command}\n");
    let text = ["#!/bin/sh\n", &given, LOCK, RUN].join("\n");
    text.trim_end().to_owned()
}

/// The line of a crontab that starts the program at this path when the machine starts. In a crontab
/// a percent sign means a new line unless it is escaped (crontab(5)).
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

/// The word, quoted so that a POSIX shell reads exactly this text.
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
