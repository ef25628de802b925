//! A `docker` that breaks off: it loses the answer of a command.

use std::fs;
use std::path::{Path, PathBuf};

use crate::docker::engine::Engine;

/// What is lost. Between two changes the engine stays as it is, whatever it is asked. So where nothing runs after
/// the cut, only the commands that change something count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The answer of a change, and every later command, as if the client had been killed then.
    ForGood,
    /// One answer, also that of a question. Everything after it works again.
    Once,
    /// The answer of a change. Whoever ran the command gets the signal of Ctrl-C.
    Interrupt,
}

/// The commands that change nothing, as a pattern of the shell for their first two words.
const QUESTIONS: &str = "version,* | *,inspect | *,ls | *,list | *,logs";

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
        let (questions, then, later) = match how {
            Cut::ForGood => (QUESTIONS, "exit 1", "exit 1".to_owned()),
            Cut::Once => ("none", "exit 1", format!("exec {docker} \"$@\"")),
            Cut::Interrupt => (QUESTIONS, "kill -INT $PPID", "exit 1".to_owned()),
        };
        let script = format!(
            "n=$(wc -l <{calls})\n\
             case $1,$2 in {questions}) [ $n -gt {at} ] && exit 1; exec {docker} \"$@\";; esac\n\
             echo >>{calls}\n\
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
