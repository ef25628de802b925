//! How a program ended, and assertions about that.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

/// The result of a program that has ended.
#[derive(Debug)]
pub struct Outcome {
    /// The name of the command, for messages.
    pub name: String,
    /// The exit code in a shell's notation.
    pub code: Option<i32>,
    /// Everything written to stdout, if stdout was a pipe that was read.
    pub stdout: Vec<u8>,
    /// Everything written to stderr, if stderr was a pipe.
    pub stderr: String,
    /// How long the program ran.
    pub took: Duration,
}

impl Outcome {
    /// Asserts exit 0 and an empty stderr. Returns stdout.
    #[track_caller]
    pub fn success(self) -> Vec<u8> {
        assert_eq!(self.code, Some(0), "{self}");
        assert_eq!(self.stderr, "", "{self}");
        self.stdout
    }

    /// Asserts exit 0, an empty stderr and exactly this stdout.
    #[track_caller]
    pub fn printed(self, bytes: impl AsRef<[u8]>) {
        assert!(self.stdout == bytes.as_ref(), "{self}");
        self.success();
    }

    /// Asserts exit 0, exactly this stdout, and one line on stderr that says that an `--eof` ended it.
    #[track_caller]
    pub fn ended_by_eof(self, bytes: impl AsRef<[u8]>) {
        let stdout = self.told(0, "an --eof");
        assert!(stdout == bytes.as_ref(), "{}", excerpt(&stdout));
    }

    /// Removes the messages of a writer that waited for room and continued.
    pub fn whatever_it_waited_for(mut self) -> Self {
        let waits = |line: &&str| line.contains(" paused until ") || line.ends_with(": resuming");
        let lines = self.stderr.split_inclusive('\n');
        let others = lines.filter(|line| !waits(&line.trim_end()));
        self.stderr = others.collect();
        self
    }

    /// Removes the message about an `--eof` that ended the listener outside of any stream.
    pub fn whatever_ended_it(mut self) -> Self {
        let is_eof = |line: &&str| line.contains("an --eof") && !line.contains(" inside ");
        let lines = self.stderr.split_inclusive('\n');
        let others = lines.filter(|line| !is_eof(line));
        self.stderr = others.collect();
        self
    }

    /// Asserts this exit code and one line on stderr that contains `sentence`. Returns stdout.
    #[track_caller]
    pub fn told(self, code: i32, sentence: &str) -> Vec<u8> {
        assert_eq!(self.code, Some(code), "{self}");
        let is_line = self.stderr.starts_with("skypipe: ") && self.stderr.ends_with('\n');
        assert!(is_line && self.stderr.lines().count() == 1, "{self}");
        assert!(self.stderr.contains(sentence), "no {sentence:?}: {self}");
        self.stdout
    }

    /// Asserts this exit code, and that the last line on stderr contains `sentence`.
    #[track_caller]
    pub fn told_at_last(self, code: i32, sentence: &str) {
        assert_eq!(self.code, Some(code), "{self}");
        let last = self.stderr.lines().last().unwrap_or_default();
        assert!(last.contains(sentence), "no {sentence:?}: {self}");
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, code, stderr) = (&self.name, self.code, &self.stderr);
        let stdout = excerpt(&self.stdout);
        write!(
            f,
            "`{name}` ended with {code:?}; stdout: {stdout}\nstderr: {stderr}"
        )
    }
}

/// The start of a text that may be long, for messages.
pub fn excerpt(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
    if bytes.len() > 400 {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    text
}
