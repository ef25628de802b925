//! The programs of a history: how they start, continue and end.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::process::ChildStdin;

use rustix::process::Signal;

use super::Arena;
use crate::common::process::Process;
use crate::faults::ledger::{End, Mode};
use crate::faults::lines::{content, cut};

/// The most that run at once of each kind.
const MOST: usize = 12;

/// A program that was started.
pub(super) struct Player {
    pub process: Option<Process>,
    pub pipe: &'static str,
    pub role: Role,
    pub started: u64,
    pub ended: u64,
    pub end: Option<End>,
}

pub(super) enum Role {
    /// A writer of this many bytes. For a slow writer, also the input that it has not been given yet.
    Writes {
        length: usize,
        rest: Option<(ChildStdin, Vec<u8>)>,
    },
    /// A listener, whose output goes to the file with its number.
    Listens(Mode),
}

impl Player {
    pub fn is_writer(&self) -> bool {
        matches!(self.role, Role::Writes { .. })
    }

    /// Whether it is a slow writer that gets more input.
    pub fn is_slow(&self) -> bool {
        matches!(self.role, Role::Writes { rest: Some(_), .. })
    }

    pub fn is(&self, mode: Mode) -> bool {
        matches!(self.role, Role::Listens(its) if its == mode)
    }
}

impl Arena {
    /// Sends a signal to a program that may have ended by itself just now.
    pub(super) fn end(&mut self, place: usize, signal: Signal) {
        let player = &mut self.players[place];
        if let Some(process) = player.process.take_if(|process| process.runs()) {
            process.signal(signal);
            process.outcome();
            self.clock += 1;
            player.ended = self.clock;
            player.end = Some(End::Killed);
            self.note(&format!("{place} is ended by {signal:?}"));
        }
    }

    /// Records which programs have ended.
    pub(super) fn look(&mut self) {
        for place in 0..self.players.len() {
            let player = &mut self.players[place];
            let Some(process) = player.process.take_if(|process| !process.runs()) else {
                continue;
            };
            let outcome = process.outcome();
            self.clock += 1;
            player.ended = self.clock;
            player.end = Some(End::Exited(outcome.code.unwrap_or(-1), outcome.stderr));
            self.note(&format!("{place} ends: {:?}", self.players[place].end));
        }
    }

    pub(super) fn note(&mut self, what: &str) {
        let (begin, story) = &mut self.story;
        let _ = writeln!(story, "{:>9.3} {what}", begin.elapsed().as_secs_f64());
    }

    pub(super) fn places(&self, which: impl Fn(&Player) -> bool) -> Vec<usize> {
        let runs = |it: &Player| it.process.is_some() && which(it);
        let all = 0..self.players.len();
        all.filter(|place| runs(&self.players[*place])).collect()
    }

    pub(super) fn running(&self, which: impl Fn(&Player) -> bool) -> usize {
        self.places(which).len()
    }

    pub(super) fn writer(&mut self, pipe: &'static str) {
        if self.running(Player::is_writer) >= MOST {
            return;
        }
        let place = self.players.len();
        let length = match self.rng.index(20) {
            0 => 0,
            1..6 => self.rng.between(100_000, 2_000_000),
            _ => self.rng.between(1, 3_000),
        };
        let length = usize::try_from(length).expect("it is small");
        let bytes = content(place, length);
        let flags: &[&str] = if self.rng.chance(15) {
            &["--wait"]
        } else {
            &[]
        };
        let run = self.sky.skypipe(&[&["-w", pipe], flags].concat());
        let (process, rest) = if length < 3_000 && self.rng.chance(30) {
            let process = run.piped().start();
            let stdin = process.take_stdin();
            (process, Some((stdin, bytes)))
        } else {
            let name = format!("in-{place}");
            self.sky.put(&name, bytes);
            let file = File::open(self.sky.home().join(name)).expect("it was just made");
            (run.stdin(file).start(), None)
        };
        self.comes(process, pipe, Role::Writes { length, rest });
    }

    pub(super) fn listener(&mut self, pipe: &'static str, mode: Mode) {
        if self.running(|it| !it.is_writer()) >= MOST {
            return;
        }
        let place = self.players.len();
        let flag = match mode {
            Mode::Default => "-r",
            Mode::Follow => "--follow",
            Mode::One => "--one",
            Mode::Tap => "--tap",
        };
        let path = self.sky.home().join(format!("out-{place}"));
        let file = File::create(path).expect("there is room");
        let process = self.sky.skypipe(&[flag, pipe]).stdout(file).start();
        self.comes(process, pipe, Role::Listens(mode));
    }

    fn comes(&mut self, process: Process, pipe: &'static str, role: Role) {
        self.clock += 1;
        let what = match &role {
            Role::Writes { length, .. } => format!("writes {length} bytes"),
            Role::Listens(mode) => format!("listens, {mode:?}"),
        };
        let (place, pid) = (self.players.len(), process.pid());
        self.note(&format!("{place}, process {pid}, {what}, pipe {pipe}"));
        self.players.push(Player {
            process: Some(process),
            pipe,
            role,
            started: self.clock,
            ended: u64::MAX,
            end: None,
        });
    }

    /// Gives slow writers some more input.
    pub(super) fn go_on(&mut self) {
        for player in &mut self.players {
            let Role::Writes { rest, .. } = &mut player.role else {
                continue;
            };
            let Some((stdin, bytes)) = rest else {
                continue;
            };
            let at = self.rng.index(bytes.len().min(1000) + 1);
            let some: Vec<u8> = bytes.drain(..cut(bytes, at)).collect();
            // A killed writer reads no more.
            if stdin.write_all(&some).is_err() || bytes.is_empty() {
                *rest = None;
            }
        }
    }
}
