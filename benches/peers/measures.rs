//! What is measured: each takes a tool, and gives figures or says why there are none.

use std::io::{BufRead, BufReader, Read, Write};
use std::ops::{Deref, DerefMut};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::pattern::{Kind, Pattern, WAKE};
use crate::peer::{Channel, Peer};
use crate::shaper::Line;
use crate::usage::Usage;

/// A figure: its name, and its value.
pub type Figures = Vec<(&'static str, f64)>;

/// Something that is measured.
pub struct Measure {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Does it once.
    pub run: fn(&dyn Peer, u64) -> Option<Result<Figures, String>>,
}

/// All of them.
pub const ALL: [Measure; 11] = [
    Measure {
        name: "bulk",
        run: bulk,
    },
    Measure {
        name: "text",
        run: text,
    },
    Measure {
        name: "line",
        run: line,
    },
    Measure {
        name: "trigger",
        run: trigger,
    },
    Measure {
        name: "waiting",
        run: waiting,
    },
    Measure {
        name: "fan-in",
        run: fan_in,
    },
    Measure {
        name: "fan-out",
        run: fan_out,
    },
    Measure {
        name: "ten",
        run: ten,
    },
    Measure {
        name: "paused",
        run: paused,
    },
    Measure {
        name: "far-bulk",
        run: far_bulk,
    },
    Measure {
        name: "far-text",
        run: far_text,
    },
];

/// How long nothing may arrive before the rest counts as lost.
const SILENCE: Duration = Duration::from_secs(5);

/// How many lines are timed one by one.
const LINES: usize = 300;

/// How many writers, and how many lines each of them writes.
const WRITERS: usize = 100;
const LINES_EACH: usize = 10_000;

const READERS: u64 = 10;

/// Two programs at work, and the bytes between them.
struct Pair {
    writer: Client,
    reader: Client,
    input: ChildStdin,
    output: ChildStdout,
}

impl Pair {
    /// Both are connected: a short line has gone through.
    fn start(channel: &Channel) -> Result<Self, String> {
        let mut reader = spawn((channel.reader)());
        let mut writer = spawn((channel.writer)());
        let mut input = writer.stdin.take().expect("its stdin is piped");
        let output = reader.stdout.take().expect("its stdout is piped");
        wake(&mut input, &output)?;
        Ok(Self {
            writer,
            reader,
            input,
            output,
        })
    }

    /// All of a pattern goes through; returns how long it took.
    fn pump(self, pattern: &Pattern, servers: &[u32]) -> Result<(Duration, Usage), String> {
        let all = [&[self.writer.id(), self.reader.id()], servers].concat();
        let before = Usage::of_all(&all);
        let begin = Instant::now();
        let Self {
            mut writer,
            mut reader,
            mut input,
            mut output,
        } = self;
        let fed = thread::scope(|scope| {
            let feeder = scope.spawn(move || pattern.write(&mut input));
            // What some tools drop never comes.
            let checked = pattern.check(&mut Patient(&mut output));
            let time = begin.elapsed();
            let after = Usage::of_all(&all);
            if checked.is_err() {
                let _ = writer.kill();
            }
            let fed = feeder.join().expect("the feeder does not panic");
            checked
                .and(fed.map_err(|error| error.to_string()))
                .map(|()| (time, after))
        });
        drop(output);
        end(&mut reader);
        end(&mut writer);
        fed.map(|(time, after)| (time, after - before))
    }
}

/// A program at work, which ends with this value.
struct Client(Child);

impl Deref for Client {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        end(self);
    }
}

fn spawn(mut command: Command) -> Client {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    Client(command.spawn().expect("it was found on PATH"))
}

fn end(process: &mut Child) {
    let _ = process.kill();
    let _ = process.wait();
}

/// Writes short lines until something arrives: some tools lose what is written while nobody reads.
fn wake(input: &mut ChildStdin, output: &ChildStdout) -> Result<(), String> {
    let end = Instant::now() + 4 * SILENCE;
    while !is_readable(output) {
        if Instant::now() > end {
            return Err("nothing arrives".to_owned());
        }
        input.write_all(WAKE).map_err(|error| error.to_string())?;
        input.flush().map_err(|error| error.to_string())?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn is_readable(output: &ChildStdout) -> bool {
    is_readable_within(output, Duration::ZERO)
}

fn is_readable_within(output: &ChildStdout, patience: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(output, PollFlags::IN)];
    let patience = Timespec::try_from(patience).expect("it is short");
    poll(&mut fds, Some(&patience)).is_ok_and(|count| count > 0)
}

fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}

fn through(peer: &dyn Peer, kind: Kind, bytes: u64) -> Result<(Pattern, Duration, Usage), String> {
    let channel = peer.channel();
    let pattern = Pattern::new(kind, bytes);
    let (time, usage) = Pair::start(&channel)?.pump(&pattern, &channel.servers)?;
    Ok((pattern, time, usage))
}

fn bulk(peer: &dyn Peer, bytes: u64) -> Option<Result<Figures, String>> {
    peer.abilities().takes_bytes.then(|| {
        let (pattern, time, usage) = through(peer, Kind::Noise, bytes)?;
        let gigabytes = pattern.len() as f64 / 1e9;
        Ok(vec![
            ("bulk MB/s", rate(pattern.len(), time)),
            ("CPU s/GB", usage.seconds / gigabytes),
            ("switches/GB", usage.switches / gigabytes),
        ])
    })
}

#[expect(clippy::unnecessary_wraps, reason = "it is one of many alike")]
fn text(peer: &dyn Peer, bytes: u64) -> Option<Result<Figures, String>> {
    // Lines one by one take others a hundred times as long.
    let bytes = if peer.abilities().takes_bytes {
        bytes
    } else {
        bytes / 50
    };
    Some(through(peer, Kind::Lines, bytes).map(|(pattern, time, _)| {
        let lines = pattern.lines() as f64 / 1e6 / time.as_secs_f64();
        vec![
            ("text MB/s", rate(pattern.len(), time)),
            ("M lines/s", lines),
        ]
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "it is one of many alike")]
fn line(peer: &dyn Peer, _: u64) -> Option<Result<Figures, String>> {
    let once = || {
        let channel = peer.channel();
        let mut pair = Pair::start(&channel)?;
        let mut output = BufReader::new(pair.output);
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
        end(&mut pair.writer);
        end(&mut pair.reader);
        micros.sort_by(f64::total_cmp);
        Ok(vec![
            ("line p50 µs", micros[LINES / 2]),
            ("line p99 µs", micros[LINES * 99 / 100]),
        ])
    };
    Some(once())
}

fn trigger(peer: &dyn Peer, _: u64) -> Option<Result<Figures, String>> {
    peer.abilities().ends.then(|| {
        let channel = peer.channel();
        let mut reader = spawn((channel.reader)());
        // It connects meanwhile, whatever it is.
        thread::sleep(Duration::from_millis(400));
        let begin = Instant::now();
        let mut writer = spawn((channel.writer)());
        let mut input = writer.stdin.take().expect("its stdin is piped");
        input.write_all(b"\n").map_err(|error| error.to_string())?;
        drop(input);
        let mut text = Vec::new();
        let mut output = reader.stdout.take().expect("its stdout is piped");
        output
            .read_to_end(&mut text)
            .map_err(|error| error.to_string())?;
        let time = begin.elapsed();
        end(&mut reader);
        end(&mut writer);
        Ok(vec![("trigger ms", time.as_secs_f64() * 1e3)])
    })
}

fn waiting(peer: &dyn Peer, bytes: u64) -> Option<Result<Figures, String>> {
    peer.abilities().keeps.then(|| {
        // What is kept in memory has to fit there.
        let pattern = Pattern::new(Kind::Noise, bytes.min(200_000_000));
        let channel = peer.channel();
        let begin = Instant::now();
        let mut writer = spawn((channel.writer)());
        let mut input = writer.stdin.take().expect("its stdin is piped");
        pattern
            .write(&mut input)
            .map_err(|error| error.to_string())?;
        drop(input);
        writer.wait().map_err(|error| error.to_string())?;
        let written = begin.elapsed();
        let begin = Instant::now();
        let mut reader = spawn((channel.reader)());
        pattern.check(reader.stdout.as_mut().expect("its stdout is piped"))?;
        let read = begin.elapsed();
        reader.wait().map_err(|error| error.to_string())?;
        Ok(vec![
            ("waiting, write MB/s", rate(pattern.len(), written)),
            ("waiting, read MB/s", rate(pattern.len(), read)),
        ])
    })
}

fn fan_in(peer: &dyn Peer, _: u64) -> Option<Result<Figures, String>> {
    peer.abilities().merges.then(|| {
        let channel = peer.channel();
        let mut reader = spawn((channel.follower)());
        let mut output = reader.stdout.take().expect("its stdout is piped");
        let mut first = spawn((channel.writer)());
        wake(first.stdin.as_mut().expect("its stdin is piped"), &output)?;
        let begin = Instant::now();
        let total = WRITERS * LINES_EACH;
        let (count, last) = thread::scope(|scope| {
            for writer in 0..WRITERS {
                let mut process = spawn((channel.writer)());
                let mut input = process.stdin.take().expect("its stdin is piped");
                scope.spawn(move || {
                    let lines: Vec<String> = (0..LINES_EACH)
                        .map(|n| format!("{writer} {n} of a log\n"))
                        .collect();
                    let _ = input.write_all(lines.concat().as_bytes());
                    drop(input);
                    // Some never end by themselves.
                    let end_of_it = Instant::now() + 12 * SILENCE;
                    while process.try_wait().is_ok_and(|end| end.is_none())
                        && Instant::now() < end_of_it
                    {
                        thread::sleep(Duration::from_millis(20));
                    }
                    end(&mut process);
                });
            }
            lines_in_order(&mut output, total)
        });
        let time = last.saturating_duration_since(begin);
        end(&mut reader);
        end(&mut first);
        Ok(vec![
            ("fan-in k lines/s", count as f64 / 1e3 / time.as_secs_f64()),
            (
                "fan-in missing %",
                (total - count) as f64 * 100.0 / total as f64,
            ),
        ])
    })
}

/// Counts the lines of each writer that come whole and in order; returns when the last one came.
fn lines_in_order(output: &mut ChildStdout, total: usize) -> (usize, Instant) {
    let (mut next, mut count, mut last) = (vec![0; WRITERS], 0, Instant::now());
    let (mut held, mut buffer) = (Vec::new(), vec![0; 256 << 10]);
    while count < total && last.elapsed() < SILENCE {
        if !is_readable(output) {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
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
        let mut readers: Vec<Client> = (0..READERS).map(|_| spawn((channel.reader)())).collect();
        // All of them are there before the first byte, whatever they are.
        thread::sleep(Duration::from_millis(1500));
        let mut writer = spawn((channel.writer)());
        let mut input = writer.stdin.take().expect("its stdin is piped");
        let outputs: Vec<_> = readers
            .iter_mut()
            .map(|reader| reader.stdout.take().expect("piped"))
            .collect();
        wake(&mut input, &outputs[0])?;
        let begin = Instant::now();
        let checked: Result<(), String> = thread::scope(|scope| {
            let pattern = &pattern;
            scope.spawn(move || pattern.write(&mut input));
            let check = |mut output| scope.spawn(move || pattern.check(&mut output));
            let checks: Vec<_> = outputs.into_iter().map(check).collect();
            checks
                .into_iter()
                .try_for_each(|check| check.join().expect("no panic"))
        });
        let time = begin.elapsed();
        drop(readers);
        end(&mut writer);
        checked.map(|()| vec![("fan-out ×10 MB/s", rate(pattern.len() * READERS, time))])
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
        let (mut writer, mut reader, mut input, mut output) =
            (pair.writer, pair.reader, pair.input, pair.output);
        let missing = thread::scope(|scope| {
            let pattern = &pattern;
            let feeder = scope.spawn(move || pattern.write(&mut input));
            thread::sleep(Duration::from_secs(2));
            let missing = pattern.check(&mut Patient(&mut output)).err();
            if missing.is_some() {
                let _ = writer.kill();
            }
            let _ = feeder.join();
            missing
        });
        end(&mut reader);
        end(&mut writer);
        Ok(vec![(
            "paused reader: whole",
            f64::from(u8::from(missing.is_none())),
        )])
    })
}

/// An output that counts as ended when nothing comes for too long.
struct Patient<'a>(&'a mut ChildStdout);

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !is_readable_within(self.0, SILENCE) {
            return Ok(0);
        }
        self.0.read(buffer)
    }
}

/// There and back takes 100 ms.
const FAR: Duration = Duration::from_millis(50);

fn far(peer: &dyn Peer, kind: Kind, mbits: f64, bytes: u64) -> Option<Result<f64, String>> {
    let rate = mbits * 1e6 / 8.0;
    let channel = peer.far_channel(Line { delay: FAR, rate })?;
    let once = || {
        let pattern = Pattern::new(kind, bytes);
        let (time, _) = Pair::start(&channel)?.pump(&pattern, &channel.servers)?;
        Ok(pattern.len() as f64 / time.as_secs_f64() / rate)
    };
    Some(once())
}

fn far_bulk(peer: &dyn Peer, bytes: u64) -> Option<Result<Figures, String>> {
    if !peer.abilities().takes_bytes {
        return None;
    }
    let share = far(peer, Kind::Noise, 1000.0, bytes)?;
    Some(share.map(|share| vec![("1 Gbit/s, 100 ms: share", share)]))
}

fn far_text(peer: &dyn Peer, bytes: u64) -> Option<Result<Figures, String>> {
    if !peer.abilities().takes_bytes {
        return None;
    }
    let share = far(peer, Kind::Lines, 100.0, bytes / 10)?;
    Some(share.map(|share| vec![("100 Mbit/s, 100 ms, log text: × the link", share)]))
}
