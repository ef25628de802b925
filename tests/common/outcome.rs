//! How a program ended, and what a test may expect of that.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

/// How a program ended.
#[derive(Debug)]
pub struct Outcome {
    /// What was run, for messages.
    pub name: String,
    /// Its exit code, as a shell has it.
    pub code: Option<i32>,
    /// All that it wrote to stdout, if that was a pipe which was read.
    pub stdout: Vec<u8>,
    /// All that it wrote to stderr, if that was a pipe.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Outcome {
    /// It exited with 0 and had nothing to say; returns what it wrote to stdout.
    #[track_caller]
    pub fn success(self) -> Vec<u8> {
        assert_eq!(self.code, Some(0), "{self}");
        assert_eq!(self.stderr, "", "{self}");
        self.stdout
    }

    /// It exited with 0, and silently, and wrote exactly this to stdout.
    #[track_caller]
    pub fn printed(self, bytes: impl AsRef<[u8]>) {
        assert!(self.stdout == bytes.as_ref(), "{self}");
        self.success();
    }

    /// It exited with 0 after one line, which says that an `--eof` ended it, and wrote exactly this to stdout.
    #[track_caller]
    pub fn ended_by_eof(self, bytes: impl AsRef<[u8]>) {
        let stdout = self.told(0, "an --eof");
        assert!(stdout == bytes.as_ref(), "{}", excerpt(&stdout));
    }

    /// The same, but for what a writer says when it waits for room and when it goes on.
    pub fn whatever_it_waited_for(mut self) -> Self {
        let waits = |line: &&str| line.contains(" paused until ") || line.ends_with(": going on");
        let lines = self.stderr.split_inclusive('\n');
        let others = lines.filter(|line| !waits(&line.trim_end()));
        self.stderr = others.collect();
        self
    }

    /// The same, but for what it says of an `--eof` that ended it outside of any stream.
    pub fn whatever_ended_it(mut self) -> Self {
        let is_eof = |line: &&str| line.contains("an --eof") && !line.contains(" inside ");
        let lines = self.stderr.split_inclusive('\n');
        let others = lines.filter(|line| !is_eof(line));
        self.stderr = others.collect();
        self
    }

    /// It exited with this code after one line on stderr that holds `sentence`; returns what it
    /// wrote to stdout.
    #[track_caller]
    pub fn told(self, code: i32, sentence: &str) -> Vec<u8> {
        assert_eq!(self.code, Some(code), "{self}");
        let is_line = self.stderr.starts_with("skypipe: ") && self.stderr.ends_with('\n');
        assert!(is_line && self.stderr.lines().count() == 1, "{self}");
        assert!(self.stderr.contains(sentence), "no {sentence:?}: {self}");
        self.stdout
    }

    /// It exited with this code, and the last line on stderr holds `sentence`.
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

/// The beginning of something that may be long, for people.
pub fn excerpt(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
    if bytes.len() > 400 {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    text
}
