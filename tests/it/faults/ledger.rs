//! Invariants of every history, whoever was killed in it. They are stated only in terms of what programs
//! were given, what they printed and how they ended.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::faults::lines::head;

/// The role of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Default,
    Follow,
    One,
    Tap,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The test killed it, or sent it a signal.
    Killed,
    /// It ended by itself, with this exit code and this stderr.
    Exited(i32, String),
}

/// One writer.
pub struct Writer {
    pub content: Vec<u8>,
    pub end: End,
}

/// All writers, by the numbers in their lines.
pub type Writers = BTreeMap<usize, Writer>;

/// One listener.
pub struct Listener {
    pub mode: Mode,
    pub printed: Vec<u8>,
    pub end: End,
    /// When it was started and when its end was noticed, on a clock shared by the whole history.
    pub started: u64,
    pub ended: u64,
}

/// The figures of a history.
#[derive(Debug, Default, Clone, Copy)]
pub struct Summary {
    /// Writers that exited 0, and their bytes.
    pub kept: usize,
    pub bytes: usize,
    /// Writers and listeners that were lost for their silence although nobody killed them.
    pub given_up: usize,
    /// Bytes that were printed again after a killed listener had printed them.
    pub again: usize,
}

/// What one listener printed of each writer. There are no gaps and no repeats, so the range of offsets says
/// everything.
type Runs = BTreeMap<usize, Range<usize>>;

/// Checks the invariants, once every program has ended.
pub fn check(writers: &Writers, listeners: &[Listener]) -> Result<Summary, String> {
    let mut all = Vec::new();
    for (place, listener) in listeners.iter().enumerate() {
        let mode = listener.mode;
        let runs = Reading::of(writers, listener)
            .map_err(|why| format!("listener {place} ({mode:?}, {:?}): {why}", listener.end))?;
        truthful(writers, listener, &runs)
            .map_err(|why| format!("listener {place} ({mode:?}, {:?}): {why}", listener.end))?;
        all.push(runs);
    }
    let mut summary = Summary::default();
    for (place, writer) in writers {
        match &writer.end {
            End::Killed => {}
            End::Exited(0, said) if said.lines().all(is_writers_word) => {
                summary.given_up += usize::from(said.contains(REST));
                arrived(*place, writer, listeners, &all)?;
                summary.kept += 1;
                summary.bytes += writer.content.len();
            }
            End::Exited(code, said) => {
                return Err(format!("writer {place} exits with {code}: {said}"));
            }
        }
    }
    shared_out(listeners, &all)?;
    summary.again = never_again(listeners, &all)?;
    let is_given_up = |listener: &&Listener| is_lost(&listener.end);
    summary.given_up += listeners.iter().filter(is_given_up).count();
    Ok(summary)
}

/// What three programs say: a writer whose stream was cut while it was silent, a listener whose part went
/// to others meanwhile, and one that continues behind that.
const REST: &str = "the rest follows separately";
const TAKEN: &str = "lost contact with this listener, and others took its data";
const PASSED_BY: &str = "this reader was disconnected and missed";

/// Whether a successful writer may say this.
fn is_writers_word(line: &str) -> bool {
    line.contains(" paused until ") || line.ends_with(": resuming") || line.ends_with(REST)
}

fn is_lost(end: &End) -> bool {
    matches!(end, End::Exited(3, said) if said.contains(TAKEN))
}

/// The state of parsing a listener's output.
struct Reading<'w> {
    writers: &'w Writers,
    may_skip: bool,
    runs: Runs,
}

impl<'w> Reading<'w> {
    fn of(writers: &'w Writers, listener: &Listener) -> Result<Runs, String> {
        let mut reading = Self {
            writers,
            may_skip: listener.mode == Mode::Tap
                || matches!(&listener.end, End::Exited(_, said) if said.contains(PASSED_BY)),
            runs: Runs::new(),
        };
        for piece in listener.printed.split_inclusive(|byte| *byte == b'\n') {
            match head(piece) {
                Some((writer, at)) => reading.piece(writer, at, piece)?,
                None => reading.fragment(piece)?,
            }
        }
        Ok(reading.runs)
    }

    /// Parses a line, or the start of one, behind which a newline may have been added.
    fn piece(&mut self, writer: usize, at: usize, piece: &[u8]) -> Result<(), String> {
        let known = self.writers.get(&writer);
        let rest = known.and_then(|known| known.content.get(at..));
        let bare = piece.strip_suffix(b"\n").unwrap_or(piece);
        let length = match rest {
            Some(rest) if rest.starts_with(piece) => piece.len(),
            Some(rest) if rest.starts_with(bare) => bare.len(),
            _ => return Err(format!("nobody wrote {:?}", String::from_utf8_lossy(piece))),
        };
        let next = self.runs.entry(writer).or_insert(at..at);
        let is_skip = self.may_skip && at > next.end;
        if at != next.end && !is_skip {
            let (start, end) = (next.start, next.end);
            let what = if at < end { "a repeat" } else { "a gap" };
            return Err(format!(
                "{what}: byte {at} of writer {writer} behind {start}..{end}"
            ));
        }
        next.end = at + length;
        Ok(())
    }

    /// Parses a piece of a line without its head: the rest of a line that was begun, the start of a line
    /// that stops inside its head, or the rest of a line whose start another listener got.
    fn fragment(&mut self, piece: &[u8]) -> Result<(), String> {
        let bare = piece.strip_suffix(b"\n").unwrap_or(piece);
        let going_on = |text: &[u8]| {
            let mut fitting = self
                .runs
                .iter()
                .filter(|(writer, run)| self.writers[*writer].content[run.end..].starts_with(text));
            let first = fitting.next().map(|(writer, run)| (*writer, run.end));
            first.filter(|_| fitting.next().is_none())
        };
        let found = going_on(piece).map(|place| (place, piece.len()));
        let found = found.or_else(|| Some((going_on(bare)?, bare.len())));
        if let Some(((writer, at), length)) = found.filter(|(_, length)| *length > 0) {
            self.runs.entry(writer).or_insert(at..at).end = at + length;
            return Ok(());
        }
        let everywhere = self.writers.iter().flat_map(|(writer, known)| {
            let found = memchr::memmem::find_iter(&known.content, bare);
            found.map(|at| (*writer, at))
        });
        let places: Vec<_> = everywhere.take(2).collect();
        match places[..] {
            [] => Err(format!("nobody wrote {:?}", String::from_utf8_lossy(piece))),
            [(writer, at)] => self.piece(writer, at, piece),
            // A piece this short identifies nothing. Only killed programs leave such pieces.
            _ => Ok(()),
        }
    }
}

/// What a tap says if nothing is left of what it watched.
const LOST: &str = "it has lost the rest of the data";

/// Removes the messages about an `--eof`.
fn without_eof(said: &str) -> String {
    let lines = said.split_inclusive('\n');
    lines.filter(|line| !line.contains("an --eof")).collect()
}

/// Rule 15: a listener that exits 0 has every stream up to its end; and none fails without a reason.
fn truthful(writers: &Writers, listener: &Listener, runs: &Runs) -> Result<(), String> {
    // An `--eof` is reported besides everything else. Inside a stream it is not the stream's end (rule 6).
    let said = match &listener.end {
        End::Exited(_, said) => without_eof(said),
        End::Killed => String::new(),
    };
    let is_inside = |said: &str| said.contains("an --eof ended") && said.contains(" inside ");
    let known = ["was cut", "this is the rest of", TAKEN, PASSED_BY];
    let is_endless = matches!(listener.mode, Mode::Follow | Mode::Tap);
    match &listener.end {
        End::Killed => {}
        End::Exited(0 | 3, said)
            if listener.mode == Mode::Tap
                && (said.contains(" missed ") || said.contains(PASSED_BY)) => {}
        End::Exited(0, whole) if said.is_empty() && is_inside(whole) && is_endless => {}
        End::Exited(3, whole) if is_inside(whole) && !is_endless => {}
        End::Exited(3, _) if listener.mode == Mode::Tap && said.contains(LOST) => {}
        End::Exited(0, _) if said.is_empty() => {
            let short = runs
                .iter()
                .find(|(writer, run)| run.end < writers[*writer].content.len());
            if let Some((writer, run)) = short {
                let whole = writers[writer].content.len();
                return Err(format!("{run:?} of writer {writer}, which has {whole}"));
            }
        }
        End::Exited(3, _) if known.iter().any(|words| said.contains(words)) => {}
        End::Exited(..) => return Err("it failed for nothing".to_owned()),
    }
    if listener.mode == Mode::One && (runs.len() > 1 || runs.values().any(|run| run.start > 0)) {
        return Err(format!("that is not one whole stream: {runs:?}"));
    }
    Ok(())
}

/// Rules 10, 11 and 12: every byte of a successful writer has been printed.
fn arrived(
    place: usize,
    writer: &Writer,
    listeners: &[Listener],
    all: &[Runs],
) -> Result<(), String> {
    let takers = listeners
        .iter()
        .zip(all)
        .filter(|(it, _)| it.mode != Mode::Tap);
    let mut runs: Vec<_> = takers
        .filter_map(|(_, runs)| runs.get(&place).cloned())
        .collect();
    runs.sort_by_key(|run| run.start);
    let mut reached = 0;
    for run in &runs {
        if run.start > reached {
            break;
        }
        reached = reached.max(run.end);
    }
    let length = writer.content.len();
    if reached < length {
        return Err(format!(
            "byte {reached} of {length} of writer {place}, which was told that all is well, was \
             never printed; what was: {runs:?}"
        ));
    }
    Ok(())
}

/// Rule 7: no two workers of a queue get the same stream.
fn shared_out(listeners: &[Listener], all: &[Runs]) -> Result<(), String> {
    let mut done = BTreeMap::new();
    for (place, (listener, runs)) in listeners.iter().zip(all).enumerate() {
        if listener.mode != Mode::One || listener.end != End::Exited(0, String::new()) {
            continue;
        }
        for writer in runs.keys() {
            if let Some(other) = done.insert(*writer, place) {
                return Err(format!(
                    "{other} and {place} have both done the work of writer {writer}"
                ));
            }
        }
    }
    Ok(())
}

/// Rule 16: bytes that a listener printed before it ended by itself are never given to a later one. Returns
/// how many bytes of killed listeners were printed again.
fn never_again(listeners: &[Listener], all: &[Runs]) -> Result<usize, String> {
    let mut again = 0;
    let takers = || {
        let numbered = listeners.iter().zip(all).enumerate();
        numbered.filter(|(_, (listener, _))| listener.mode != Mode::Tap)
    };
    for (first, (before, runs)) in takers() {
        for (second, (after, later)) in takers().filter(|(_, (it, _))| it.started > before.ended) {
            for (writer, run) in runs {
                let Some(more) = later.get(writer) else {
                    continue;
                };
                let both = run
                    .end
                    .min(more.end)
                    .saturating_sub(run.start.max(more.start));
                if both == 0 {
                    continue;
                }
                if before.end != End::Killed && !is_lost(&before.end) {
                    return Err(format!(
                        "{more:?} of writer {writer} came to listener {second} ({:?}) when \
                         listener {first} ({:?}, {:?}) had ended with {run:?}",
                        after.mode, before.mode, before.end
                    ));
                }
                again += both;
            }
        }
    }
    Ok(again)
}

#[cfg(test)]
mod tests;
