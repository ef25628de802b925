//! The line on a terminal that shows how a transfer goes.
//!
//! This module owns when the line is shown, what it says, and that nothing of it is left. It never decides
//! what is transferred, and never writes to stdout.

use std::env;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::fs::{FileType, FlockOperation, OFlags, SeekFrom, flock, fstat, seek};
use rustix::process::getpgrp;
use rustix::termios::{tcgetpgrp, ttyname};

use crate::report;
use crate::session::Moved;

/// A transfer that is over by then shows no line.
const SOON: Duration = Duration::from_secs(1);

/// How often the line is drawn.
const DRAWS_A_SECOND: u8 = 10;
const TICK: Duration = Duration::from_millis(100);

/// How often a line is printed where no terminal can be drawn on.
const PRINT_EVERY: Duration = Duration::from_secs(5);

/// When the user wants the line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Where a terminal shows it, and data is not shown there, too.
    #[default]
    Auto,
    /// `--progress`: always.
    Always,
    /// `--no-progress`: never.
    Never,
}

/// The line. While nobody wants it, all its methods do nothing.
pub struct Line {
    bar: Option<ProgressBar>,
    /// Shows the line after a moment. Begun with the first bytes.
    draw: Option<DelayedDraw>,
    began: Instant,
    /// When a line was last printed where no terminal can be drawn on.
    printed: Option<Instant>,
    /// Of several programs on one terminal, the one that has this lock draws.
    _lock: Option<File>,
}

impl Line {
    /// Prepares the line of a writer, or of a reader.
    #[must_use]
    pub fn new(wanted: Wanted, writes: bool) -> Self {
        let is_wanted = match wanted {
            Wanted::Always => true,
            Wanted::Never => false,
            Wanted::Auto => is_looked_at(writes),
        };
        let lock = if is_wanted { lock_terminal() } else { None };
        let is_first = lock.is_some() || !stderr().is_terminal();
        let total = if writes { size_of_stdin() } else { None };
        Self {
            bar: (is_wanted && is_first).then(|| bar(total)),
            draw: None,
            began: Instant::now(),
            printed: None,
            _lock: lock,
        }
    }

    /// Shows how far the transfer is.
    pub fn moved(&mut self, moved: Moved) {
        let Some(bar) = &self.bar else {
            return;
        };
        if !stderr().is_terminal() {
            return self.print(moved.bytes);
        }
        bar.set_position(moved.bytes);
        let confirmed = moved.confirmed.unwrap_or(moved.bytes);
        bar.set_message(match moved.bytes.saturating_sub(confirmed) {
            0 => String::new(),
            under_way => format!(", {} not yet confirmed", report::size(under_way)),
        });
        if self.draw.is_none() {
            let wait = SOON.saturating_sub(self.began.elapsed());
            self.draw = Some(DelayedDraw::after(wait, bar.clone()));
        }
    }

    /// Prints a line where no terminal can be drawn on, if it is time.
    fn print(&mut self, bytes: u64) {
        let last = self.printed.get_or_insert(self.began);
        if last.elapsed() >= PRINT_EVERY {
            *last = Instant::now();
            report::notice(&text(bytes, self.began.elapsed()));
        }
    }

    /// Prints something else on the terminal.
    pub fn aside(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

/// Removes the line.
impl Drop for Line {
    fn drop(&mut self) {
        self.draw = None;
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The thread that shows a line once the transfer has taken long enough. Dropping it keeps it from doing so.
struct DelayedDraw {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DelayedDraw {
    fn after(wait: Duration, bar: ProgressBar) -> Self {
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || {
            if stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) && is_in_front() {
                bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_A_SECOND));
                bar.enable_steady_tick(TICK);
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for DelayedDraw {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How far a transfer is, in words.
fn text(bytes: u64, took: Duration) -> String {
    let rate = u128::from(bytes) * 1000 / took.as_millis().max(1);
    let rate = report::size(u64::try_from(rate).unwrap_or(u64::MAX));
    format!("{} so far, {rate} a second", report::size(bytes))
}

fn bar(total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{bytes} of {total_bytes}, {percent}%, {binary_bytes_per_sec}, {eta} left{msg}",
        None => "{bytes}, {binary_bytes_per_sec}, {elapsed}{msg}",
    };
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::no_length(),
    };
    bar.set_draw_target(ProgressDrawTarget::hidden());
    bar.with_style(style)
}

/// Whether somebody looks at stderr, and the data is not on the same screen.
fn is_looked_at(writes: bool) -> bool {
    let shows_data = if writes {
        stdin().is_terminal()
    } else {
        stdout().is_terminal()
    };
    let is_dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    stderr().is_terminal() && !shows_data && !is_dumb
}

/// Whether this program is in the terminal's foreground. One in the background must not draw there.
fn is_in_front() -> bool {
    tcgetpgrp(stderr()).map_or(true, |front| front == getpgrp())
}

/// Takes the terminal's lock, which goes with this program.
fn lock_terminal() -> Option<File> {
    let name = ttyname(stderr(), Vec::new()).ok()?;
    let flags = i32::try_from(OFlags::NOCTTY.bits()).ok()?;
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags);
    let file = file.open(OsStr::from_bytes(name.as_bytes())).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

/// How much is left to read on stdin, if that is a regular file.
fn size_of_stdin() -> Option<u64> {
    let stat = fstat(stdin()).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let at = seek(stdin(), SeekFrom::Current(0)).ok()?;
    u64::try_from(stat.st_size).ok()?.checked_sub(at)
}
