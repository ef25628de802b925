//! A `docker` that breaks off: it loses the answer of a command.

use std::fs;
use std::path::{Path, PathBuf};

use crate::docker::engine::Engine;

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// One answer, and every later command, as if the client had been killed then.
    ForGood,
    /// One answer. Everything after it works again.
    Once,
    /// One answer. Whoever ran the command gets the signal of Ctrl-C.
    Interrupt,
}

/// The command.
pub struct Broken {
    path: PathBuf,
    count: PathBuf,
    at: usize,
}

impl Broken {
    /// Makes the command. The call with the number `at`, counted from 0, reaches the engine, and
    /// its answer is lost.
    pub fn make(engine: &Engine, how: Cut, at: usize) -> Self {
        let count = engine.directory().join("calls");
        fs::write(&count, "").expect("there is room");
        let (calls, docker) = (count.display(), engine.command().display().to_string());
        let (then, later) = match how {
            Cut::ForGood => ("exit 1", "exit 1".to_owned()),
            Cut::Once => ("exit 1", format!("exec {docker} \"$@\"")),
            Cut::Interrupt => ("kill -INT $PPID", "exit 1".to_owned()),
        };
        let script = format!(
            "n=$(wc -l <{calls})\necho >>{calls}\n\
             [ $n -lt {at} ] && exec {docker} \"$@\"\n\
             [ $n -gt {at} ] && {later}\n\
             {docker} \"$@\" >/dev/null 2>&1\n{then}"
        );
        Self {
            path: engine.script("broken", &script),
            count,
            at,
        }
    }

    /// Where the command is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it has broken off.
    pub fn was_cut(&self) -> bool {
        let calls = fs::read(&self.count).expect("it is there").len();
        calls > self.at
    }
}
