//! Invariants of every history in which the satellite has a disk, however often it is killed. They are
//! stated only in terms of what programs were given and what they printed.
//!
//! Every line contains its writer and its number, so that gaps and repeats show in the output.

use std::collections::BTreeMap;

use bytes::Bytes;
use skypipe::session::Question;
use skypipe_protocol::Mode;

use super::check::Verdict;
use super::client::{Client, Role, State};
use super::rng::{Rng, mix};

/// The pipe that only `--one` listeners read.
pub const QUEUE: &str = "q";

/// A line of the form `writer:number:letters`.
pub fn line(writer: usize, number: usize) -> Vec<u8> {
    let seed = mix((writer as u64) << 32 | number as u64);
    let mut line = format!("{writer}:{number}:").into_bytes();
    let letters = (0..seed % 60).map(|place| b'a' + (mix(seed + place) % 26) as u8);
    line.extend(letters);
    line.push(b'\n');
    line
}

/// This many lines of one writer, in pieces that end with a line.
pub fn stdin(writer: usize, lines: usize, rng: &mut Rng) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut most = rng.index(40) + 1;
    for number in 0..lines {
        piece.extend(line(writer, number));
        most -= 1;
        if most == 0 || number + 1 == lines {
            pieces.push(Bytes::from(std::mem::take(&mut piece)));
            most = rng.index(40) + 1;
        }
    }
    pieces
}

/// What one listener printed of one writer: the number of its first line, and the one after its last whole
/// line.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: usize,
    next: usize,
    /// Whether a part of the next line followed.
    is_open: bool,
}

/// What a listener printed, by writer.
fn printed(client: &Client) -> Result<BTreeMap<usize, Run>, String> {
    let mut runs: BTreeMap<usize, Run> = BTreeMap::new();
    let text = &client.queued[..client.printed];
    for found in text.split_inclusive(|byte| *byte == b'\n') {
        let words = String::from_utf8_lossy(found);
        let mut fields = words.trim_end().splitn(3, ':');
        let (Some(Ok(writer)), Some(Ok(number)), Some(_)) = (
            fields.next().map(str::parse::<usize>),
            fields.next().map(str::parse::<usize>),
            fields.next(),
        ) else {
            // The line is cut inside its head: nothing more of this stream can follow.
            continue;
        };
        let whole = line(writer, number);
        let run = runs.entry(writer).or_insert(Run {
            first: number,
            next: number,
            is_open: false,
        });
        if run.is_open {
            return Err(format!("writer {writer} goes on behind a broken line"));
        }
        let may_miss = matches!(
            client.role,
            Role::Listen { mode: Mode::Tap | Mode::Follow } if client.notices > 0
        );
        if may_miss && number > run.next {
            // The listener was too slow, or away, and has reported the gap.
            run.next = number;
            run.is_open = false;
        }
        if number != run.next {
            return Err(format!(
                "line {number} of writer {writer} where {} was expected",
                run.next
            ));
        }
        if found == whole {
            run.next += 1;
        } else if whole.starts_with(words.trim_end().as_bytes()) {
            run.is_open = true;
        } else {
            return Err(format!("a line that nobody wrote: {words:?}"));
        }
    }
    Ok(runs)
}

/// Checks the invariants, once every program has ended. `lost_power` says whether the satellite's machine
/// ever lost power, `absences` whether anybody was away for longer than the timeouts.
pub fn check(clients: &[Client], lost_power: bool, absences: bool) -> Verdict {
    let mut reached: BTreeMap<usize, Vec<Run>> = BTreeMap::new();
    let mut finished_in_queue: BTreeMap<usize, usize> = BTreeMap::new();
    for (place, client) in clients.iter().enumerate() {
        let Role::Listen { mode } = client.role else {
            continue;
        };
        let runs = printed(client).map_err(|why| format!("client {place} ({mode:?}): {why}"))?;
        truthful(clients, client, &runs)
            .map_err(|why| format!("client {place} ({mode:?}): {why}"))?;
        if mode == Mode::Tap {
            continue;
        }
        for (writer, run) in runs {
            reached.entry(writer).or_default().push(run);
            if client.code == Some(0) && mode == Mode::One {
                *finished_in_queue.entry(writer).or_default() += 1;
            }
        }
    }
    for (writer, client) in clients.iter().enumerate() {
        let Role::Write { .. } = client.role else {
            continue;
        };
        if client.code != Some(0) {
            continue;
        }
        let lines = lines(client);
        let runs = reached.get(&writer).cloned().unwrap_or_default();
        if let Some(missing) = (0..lines).find(|line| {
            !runs
                .iter()
                .any(|run| run.first <= *line && *line < run.next)
        }) {
            return Err(format!(
                "line {missing} of {lines} of writer {writer}, which was told that all is well, \
                 was never printed"
            ));
        }
    }
    match finished_in_queue.iter().find(|(_, count)| **count > 1) {
        Some((writer, count)) if !lost_power => Err(format!(
            "{count} of those who share a queue have done the work of writer {writer}"
        )),
        _ => exits(clients, lost_power, absences),
    }
}

/// Rule 15: a listener that exits 0 without a message has printed each of its streams up to the end.
fn truthful(clients: &[Client], listener: &Client, runs: &BTreeMap<usize, Run>) -> Verdict {
    if listener.code != Some(0) || listener.signal.is_some() || listener.notices > 0 {
        return Ok(());
    }
    for (writer, run) in runs {
        let lines = lines(&clients[*writer]);
        if run.is_open || run.next < lines {
            return Err(format!(
                "exits with 0 after line {} of {lines} of writer {writer}, without a word",
                run.next
            ));
        }
    }
    Ok(())
}

/// How many lines a writer was given.
fn lines(writer: &Client) -> usize {
    writer.given.split(|byte| *byte == b'\n').count() - 1
}

/// No program fails without a reason.
fn exits(clients: &[Client], lost_power: bool, absences: bool) -> Verdict {
    let is_dead = |client: &Client| client.state == State::Killed || client.signal.is_some();
    // Others may have taken data that a dead or absent listener was to get.
    let somebody_died = absences || clients.iter().any(is_dead);
    for (place, client) in clients.iter().enumerate() {
        let Some(code) = client.code else {
            continue;
        };
        let is_well = match client.role {
            _ if client.signal.is_some() => true,
            // The network or the satellite was away for as long as the program looked for one.
            _ if absences && code == 4 => client.welcomed.is_none(),
            // The killed satellite may or may not have processed the question before it was killed.
            Role::Ask(ref question) if matches!(**question, Question::Keyring(..)) => code <= 1,
            Role::Write { .. } | Role::Ask(_) => code == 0 || (code == 3 && lost_power),
            // With seals, data lost in a power loss cannot be told from data that was read.
            Role::Listen { mode } => {
                code == 0
                    || (code == 3 && (somebody_died || lost_power))
                    || (code == 1 && lost_power && client.is_sealed)
                    // It came to a stream whose beginning others had; or what a tap watched had ended
                    // before the tap was back.
                    || (code == 3
                        && (client.is_sealed || mode == Mode::Tap)
                        && client.notices > 0)
            }
        };
        if !is_well {
            return Err(format!("client {place} ({:?}) exits {code}", client.role));
        }
    }
    Ok(())
}
