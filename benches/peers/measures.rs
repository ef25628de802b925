//! The measures. Each takes a tool, and returns figures or the reason why there are none.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, Patient, SILENCE, WAKE, is_readable_within, wake};
use crate::pattern::{Kind, Pattern};
use crate::peer::{Channel, Peer};
use crate::shaper::Line;
use crate::usage::{Snapshot, Usage};

/// Figures: the name and the value of each.
pub type Figures = Vec<(&'static str, f64)>;

/// A measure.
pub struct Measure {
    /// The measure's name on the command line.
    pub name: &'static str,
    /// How long a tool should take for it.
    pub turn: Duration,
    /// Takes the measure once.
    pub run: fn(&dyn Peer, u64) -> Option<Result<Figures, String>>,
}

/// How long a tool should take for most measures, and for the long line, where the start of a tool
/// would weigh too much in a shorter time.
const TURN: Duration = Duration::from_secs(4);
const LONG_TURN: Duration = Duration::from_secs(12);

/// All measures.
pub const ALL: [Measure; 11] = [
    Measure {
        name: "bulk",
        turn: TURN,
        run: bulk,
    },
    Measure {
        name: "text",
        turn: TURN,
        run: text,
    },
    Measure {
        name: "line",
        turn: TURN,
        run: line,
    },
    Measure {
        name: "trigger",
        turn: TURN,
        run: trigger,
    },
    Measure {
        name: "waiting",
        turn: TURN,
        run: waiting,
    },
    Measure {
        name: "fan-in",
        turn: TURN,
        run: fan_in,
    },
    Measure {
        name: "fan-out",
        turn: TURN,
        run: fan_out,
    },
    Measure {
        name: "ten",
        turn: TURN,
        run: ten,
    },
    Measure {
        name: "paused",
        turn: TURN,
        run: paused,
    },
    Measure {
        name: "far-bulk",
        turn: LONG_TURN,
        run: far_bulk,
    },
    Measure {
        name: "far-text",
        turn: LONG_TURN,
        run: far_text,
    },
];

/// How many lines are timed one by one.
const LINES: usize = 300;

/// The number of writers, and the most lines that each of them writes.
const WRITERS: usize = 100;
const LINES_EACH: u64 = 10_000;

/// How many bytes in bulk correspond to one line of each of these writers.
const BYTES_A_LINE: u64 = 20_000;

/// The divisor for tools that handle lines one by one. They take a hundred times as long as others.
const SHARE: u64 = 50;

const READERS: usize = 10;

/// How long a reader that has everything may take to exit by itself. The readers of some tools
/// never do.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long a reader pauses.
const PAUSE: Duration = Duration::from_secs(2);

/// Two running programs with a channel between them.
struct Pair {
    writer: Client,
    reader: Client,
    input: ChildStdin,
    output: ChildStdout,
}

/// How long a pattern took, and the usage meanwhile.
struct Pumped {
    time: Duration,
    /// The usage of the writer, the reader and the servers.
    all: Usage,
    /// The usage of the servers alone.
    servers: Usage,
}

impl Pair {
    /// Connects both programs, and sends a short line through.
    fn start(channel: &Channel) -> Result<Self, String> {
        let mut reader = Client::spawn((channel.reader)());
        channel.until_readers(1)?;
        let mut writer = Client::spawn((channel.writer)());
        let mut input = writer.input();
        let output = reader.output();
        wake(&mut input, &output)?;
        Ok(Self {
            writer,
            reader,
            input,
            output,
        })
    }

    /// Sends a whole pattern through.
    fn pump(self, pattern: &Pattern, servers: &[u32]) -> Result<Pumped, String> {
        let Self {
            mut writer,
            reader,
            mut input,
            mut output,
        } = self;
        let clients = [writer.id(), reader.id()];
        let take = || (Snapshot::of(&clients), Snapshot::of(servers));
        let before = take();
        let begin = Instant::now();
        thread::scope(|scope| {
            let feeder = scope.spawn(move || {
                pattern.write(&mut input)?;
                // Some tools wait for the end of a line. The stream stays open, so that all
                // processes still exist when their usage is read.
                input.write_all(b"\n").map(|()| input)
            });
            let checked = pattern.check(&mut Patient(&mut output));
            let time = begin.elapsed();
            let after = take();
            if checked.is_err() {
                writer.kill();
            }
            let fed = feeder.join().expect("the feeder does not panic");
            checked?;
            fed.map_err(|error| error.to_string())?;
            let (clients, servers) = (after.0.since(&before.0), after.1.since(&before.1));
            let all = Usage {
                seconds: clients.seconds + servers.seconds,
                switches: clients.switches + servers.switches,
            };
            Ok(Pumped { time, all, servers })
        })
    }
}

fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}

fn through(peer: &dyn Peer, kind: Kind, bytes: u64) -> Result<(Pattern, Pumped), String> {
    let channel = peer.channel();
    let pattern = Pattern::new(kind, bytes);
    let pumped = Pair::start(&channel)?.pump(&pattern, &channel.servers)?;
    Ok((pattern, pumped))
}

fn bulk(peer: &dyn Peer, bytes: u64) -> Option<Result<Figures, String>> {
    peer.abilities().takes_bytes.then(|| {
        let (pattern, pumped) = through(peer, Kind::Noise, bytes)?;
        let gigabytes = pattern.len() as f64 / 1e9;
        Ok(vec![
            ("bulk MB/s", rate(pattern.len(), pumped.time)),
            ("CPU s/GB", pumped.all.seconds / gigabytes),
            ("server CPU s/GB", pumped.servers.seconds / gigabytes),
            ("switches/GB", pumped.all.switches / gigabytes),
        ])
    })
}

/// How many of these bytes a tool gets as lines.
fn share(peer: &dyn Peer, bytes: u64) -> u64 {
    if peer.abilities().takes_bytes {
        bytes
    } else {
        bytes / SHARE
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is one of many alike")]
fn text(peer: &dyn Peer, bytes: u64) -> Option<Result<Figures, String>> {
    let bytes = share(peer, bytes);
    Some(through(peer, Kind::Lines, bytes).map(|(pattern, pumped)| {
        let lines = pattern.lines() as f64 / 1e6 / pumped.time.as_secs_f64();
        vec![
            ("text MB/s", rate(pattern.len(), pumped.time)),
            ("M lines/s", lines),
        ]
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "it is one of many alike")]
fn line(peer: &dyn Peer, _: u64) -> Option<Result<Figures, String>> {
    let once = || {
        let channel = peer.channel();
        let mut pair = Pair::start(&channel)?;
        let mut output = BufReader::new(Patient(&mut pair.output));
        let mut micros = Vec::new();
        for number in 0..LINES {
            let text = format!("line {number}\n");
            let begin = Instant::now();
            pair.input
                .write_all(text.as_bytes())
                .map_err(|error| error.to_string())?;
            let mut got = String::new();
            while got != text {
                got.clear();
                let read = output
                    .read_line(&mut got)
                    .map_err(|error| error.to_string())?;
                if read == 0 {
                    return Err("a line is missing".to_owned());
                }
            }
            micros.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        micros.sort_by(f64::total_cmp);
        Ok(vec![
            ("line p50 µs", micros[LINES / 2]),
            ("line p99 µs", micros[LINES * 99 / 100]),
        ])
    };
    Some(once())
}

fn trigger(peer: &dyn Peer, _: u64) -> Option<Result<Figures, String>> {
    peer.abilities().triggers.then(|| {
        let channel = peer.channel();
        let mut reader = Client::spawn((channel.once)());
        channel.until_readers(1)?;
        let begin = Instant::now();
        let mut writer = Client::spawn((channel.writer)());
        let mut input = writer.input();
        input.write_all(WAKE).map_err(|error| error.to_string())?;
        drop(input);
        let mut text = Vec::new();
        let mut output = reader.output();
        output
            .read_to_end(&mut text)
            .map_err(|error| error.to_string())?;
        let time = begin.elapsed();
        if text != WAKE {
            return Err(format!("{} bytes arrived instead of a line", text.len()));
        }
        Ok(vec![("trigger ms", time.as_secs_f64() * 1e3)])
    })
}

fn waiting(peer: &dyn Peer, bytes: u64) -> Option<Result<Figures, String>> {
    let abilities = peer.abilities();
    (abilities.keeps > 0 && abilities.takes_bytes).then(|| {
        let pattern = Pattern::new(Kind::Noise, bytes.min(abilities.keeps));
        let channel = peer.channel();
        let begin = Instant::now();
        let mut writer = Client::spawn((channel.writer)());
        let mut input = writer.input();
        pattern
            .write(&mut input)
            .map_err(|error| error.to_string())?;
        drop(input);
        writer.wait();
        let written = begin.elapsed();
        let begin = Instant::now();
        let mut reader = Client::spawn((channel.reader)());
        let mut output = reader.output();
        pattern.check(&mut Patient(&mut output))?;
        let read = begin.elapsed();
        // A reader that is killed before it has confirmed everything leaves the rest for the next
        // reader.
        is_readable_within(&output, GOODBYE);
        Ok(vec![
            ("waiting, write MB/s", rate(pattern.len(), written)),
            ("waiting, read MB/s", rate(pattern.len(), read)),
        ])
    })
}

fn fan_in(peer: &dyn Peer, bytes: u64) -> Option<Result<Figures, String>> {
    peer.abilities().merges.then(|| {
        let channel = peer.channel();
        let mut reader = Client::spawn((channel.follower)());
        channel.until_readers(1)?;
        let mut output = reader.output();
        let mut first = Client::spawn((channel.writer)());
        let mut input = first.input();
        wake(&mut input, &output)?;
        let begin = Instant::now();
        let each = (share(peer, bytes) / BYTES_A_LINE).clamp(1, LINES_EACH);
        let total = WRITERS * each as usize;
        let (count, last) = thread::scope(|scope| {
            let mut writers = Vec::new();
            for writer in 0..WRITERS {
                let mut process = Client::spawn((channel.writer)());
                let mut input = process.input();
                writers.push(process);
                scope.spawn(move || {
                    let lines: Vec<String> = (0..each)
                        .map(|n| format!("{writer} {n} of a log\n"))
                        .collect();
                    input.write_all(lines.concat().as_bytes())
                });
            }
            lines_in_order(&mut output, total)
        });
        let time = last.saturating_duration_since(begin);
        Ok(vec![
            ("fan-in k lines/s", count as f64 / 1e3 / time.as_secs_f64()),
            (
                "fan-in missing %",
                (total - count) as f64 * 100.0 / total as f64,
            ),
        ])
    })
}

/// Counts the lines of each writer that arrive complete and in order. Returns when the last one
/// arrived.
fn lines_in_order(output: &mut ChildStdout, total: usize) -> (usize, Instant) {
    let (mut next, mut count, mut last) = (vec![0; WRITERS], 0, Instant::now());
    let (mut held, mut buffer) = (Vec::new(), vec![0; 256 << 10]);
    while count < total && is_readable_within(output, SILENCE) {
        let Ok(read @ 1..) = output.read(&mut buffer) else {
            break;
        };
        held.extend_from_slice(&buffer[..read]);
        last = Instant::now();
        let whole = held
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        for line in held[..whole].split(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            let Some((writer, number)) = numbers(&line) else {
                continue;
            };
            if number >= next[writer] {
                next[writer] = number + 1;
                count += 1;
            }
        }
        held.drain(..whole);
    }
    (count, last)
}

fn numbers(line: &str) -> Option<(usize, usize)> {
    let (writer, rest) = line.strip_suffix(" of a log")?.split_once(' ')?;
    Some((
        writer.parse().ok().filter(|writer| *writer < WRITERS)?,
        rest.parse().ok()?,
    ))
}

fn fan_out(peer: &dyn Peer, bytes: u64) -> Option<Result<Figures, String>> {
    let abilities = peer.abilities();
    (abilities.broadcasts && abilities.takes_bytes).then(|| {
        let channel = peer.channel();
        let pattern = Pattern::new(Kind::Noise, bytes / 4);
        let readers = (0..READERS).map(|_| Client::spawn((channel.reader)()));
        let mut readers: Vec<Client> = readers.collect();
        channel.until_readers(READERS)?;
        let mut writer = Client::spawn((channel.writer)());
        let mut input = writer.input();
        let outputs: Vec<_> = readers.iter_mut().map(Client::output).collect();
        wake(&mut input, &outputs[0])?;
        let begin = Instant::now();
        let checked: Result<Vec<()>, String> = thread::scope(|scope| {
            let pattern = &pattern;
            scope.spawn(move || {
                pattern.write(&mut input)?;
                input.write_all(b"\n")
            });
            let check = |mut output| scope.spawn(move || pattern.check(&mut Patient(&mut output)));
            let checks: Vec<_> = outputs.into_iter().map(check).collect();
            let checks = checks
                .into_iter()
                .map(|check| check.join().expect("no panic"));
            let checked: Vec<_> = checks.collect();
            writer.kill();
            checked.into_iter().collect()
        });
        let time = begin.elapsed();
        checked.map(|_| {
            vec![(
                "fan-out ×10 MB/s",
                rate(pattern.len() * READERS as u64, time),
            )]
        })
    })
}

fn ten(peer: &dyn Peer, bytes: u64) -> Option<Result<Figures, String>> {
    peer.abilities().takes_bytes.then(|| {
        let pattern = Pattern::new(Kind::Noise, bytes / 10);
        let channels: Vec<_> = (0..10).map(|_| peer.channel()).collect();
        let pairs: Result<Vec<_>, _> = channels.iter().map(Pair::start).collect();
        let begin = Instant::now();
        thread::scope(|scope| {
            let mut pumps = Vec::new();
            for (pair, channel) in pairs?.into_iter().zip(&channels) {
                let (pattern, servers) = (&pattern, &channel.servers);
                pumps.push(scope.spawn(move || pair.pump(pattern, servers)));
            }
            pumps
                .into_iter()
                .try_for_each(|pump| pump.join().expect("no panic").map(drop))
        })?;
        Ok(vec![(
            "ten at once MB/s",
            rate(pattern.len() * 10, begin.elapsed()),
        )])
    })
}

fn paused(peer: &dyn Peer, bytes: u64) -> Option<Result<Figures, String>> {
    peer.abilities().takes_bytes.then(|| {
        let channel = peer.channel();
        let pattern = Pattern::new(Kind::Noise, bytes / 5);
        let pair = Pair::start(&channel)?;
        let Pair {
            mut writer,
            reader: _reader,
            mut input,
            mut output,
        } = pair;
        let missing = thread::scope(|scope| {
            let pattern = &pattern;
            scope.spawn(move || {
                pattern.write(&mut input)?;
                input.write_all(b"\n")
            });
            thread::sleep(PAUSE);
            let missing = pattern.check(&mut Patient(&mut output)).err();
            writer.kill();
            missing
        });
        Ok(vec![(
            "paused reader: whole",
            f64::from(u8::from(missing.is_none())),
        )])
    })
}

/// The delay in one direction. A round trip takes 100 ms.
const FAR: Duration = Duration::from_millis(50);

fn far(peer: &dyn Peer, kind: Kind, mbits: f64, bytes: u64) -> Option<Result<f64, String>> {
    let rate = mbits * 1e6 / 8.0;
    let channel = peer.far_channel(Line { delay: FAR, rate })?;
    let once = || {
        let pattern = Pattern::new(kind, bytes);
        let pumped = Pair::start(&channel)?.pump(&pattern, &channel.servers)?;
        Ok(pattern.len() as f64 / pumped.time.as_secs_f64() / rate)
    };
    Some(once())
}

fn far_bulk(peer: &dyn Peer, bytes: u64) -> Option<Result<Figures, String>> {
    if !peer.abilities().takes_bytes {
        return None;
    }
    let share = far(peer, Kind::Noise, 1000.0, 4 * bytes)?;
    Some(share.map(|share| vec![("1 Gbit/s, 100 ms: share", share)]))
}

fn far_text(peer: &dyn Peer, bytes: u64) -> Option<Result<Figures, String>> {
    if !peer.abilities().takes_bytes {
        return None;
    }
    let share = far(peer, Kind::Log, 100.0, bytes / 4)?;
    Some(share.map(|share| vec![("100 Mbit/s, 100 ms, log text: × the link", share)]))
}
