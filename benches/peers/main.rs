//! skypipe next to every similar tool on PATH: `cargo bench --bench peers`.
//!
//! All tools are measured in turn, several times. The table shows medians. Each byte and line is
//! checked. Settings in the environment:
//!
//! - `ROUNDS=5`: how often; `MB=200`: how much data in bulk measures.
//! - `ONLY=bulk,line`: only these measures; `PEERS=skypipe,socat`: only tools whose names begin so.
//! - `WRITE=docs/benchmarks.md`: writes the table and the plots to this page.
//!
//! A tool that takes too long for a measure gets less data in the next round. A measure that failed
//! twice is not tried again for that tool. Both are reported, and neither ends the program.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "sizes and times on their way to three digits"
)]

#[path = "../common/mod.rs"]
mod common;

mod client;
mod measures;
mod pattern;
mod peer;
mod report;
mod shaper;
mod sockets;
mod usage;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use self::measures::Measure;
use self::peer::{Peer, nats};
use self::report::Report;

/// How often a tool may fail at a measure.
const TRIES: u32 = 2;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [word, rest @ ..] = args.as_slice()
        && word == nats::client::WORD
    {
        // The reader notices what is missing.
        let is_done = nats::client::run(rest).is_ok();
        std::process::exit(i32::from(!is_done));
    }
    let begin = Instant::now();
    let directory = tempfile::tempdir().expect("a directory");
    let mut run = Run::new(directory.path());
    let rounds = setting("ROUNDS", 5);
    for measure in &measures::ALL {
        if is_wanted("ONLY", measure.name) {
            (1..=rounds).for_each(|round| run.round(measure, round));
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    run.report.settings = format!(
        "Medians of {rounds}, {} MB in bulk, {cores} cores, {} s in all.",
        run.usual / 1_000_000,
        begin.elapsed().as_secs()
    );
    println!("{}", run.report.tables());
    if let Ok(page) = std::env::var("WRITE") {
        let written = run.report.write(Path::new(&page));
        written.expect("the page can be written");
    }
}

/// All tools, and their results so far.
struct Run {
    peers: Vec<Box<dyn Peer>>,
    report: Report,
    /// How many bytes each tool gets in each measure.
    sizes: BTreeMap<(&'static str, &'static str), u64>,
    failures: BTreeMap<(&'static str, &'static str), u32>,
    usual: u64,
}

impl Run {
    fn new(directory: &Path) -> Self {
        let (mut peers, mut report) = (Vec::new(), Report::default());
        for (name, find) in peer::ALL {
            let is_asked = |start: &str| name.starts_with(start) || start.starts_with(name);
            if !list("PEERS").is_none_or(|list| list.iter().any(|start| is_asked(start))) {
                continue;
            }
            match client::attempt(|| Ok(find(directory))) {
                Ok(found) => peers.extend(found),
                Err(why) => report.fault(name, "start", &why),
            }
        }
        peers.retain(|peer| is_wanted("PEERS", peer.name()));
        Self {
            peers,
            report,
            sizes: BTreeMap::new(),
            failures: BTreeMap::new(),
            usual: setting("MB", 200) * 1_000_000,
        }
    }

    fn round(&mut self, measure: &Measure, round: u64) {
        for peer in &self.peers {
            let key = (peer.name(), measure.name);
            let failures = self.failures.entry(key).or_default();
            if *failures == TRIES {
                continue;
            }
            let size = self.sizes.entry(key).or_insert(self.usual);
            let begin = Instant::now();
            let result = client::attempt(|| (measure.run)(peer.as_ref(), *size).transpose());
            let time = begin.elapsed();
            let (name, seconds) = (peer.name(), time.as_secs_f64());
            eprintln!("{}, round {round}: {name}, {seconds:.1} s", measure.name);
            if time > measure.turn {
                *size = (*size as f64 * measure.turn.as_secs_f64() / seconds) as u64;
            }
            match result {
                Ok(figures) => {
                    for (figure, value) in figures.into_iter().flatten() {
                        self.report.note(peer.name(), figure, value);
                    }
                }
                Err(why) => {
                    *failures += 1;
                    self.report.fault(peer.name(), measure.name, &why);
                }
            }
        }
    }
}

fn setting(name: &str, usual: u64) -> u64 {
    let told = std::env::var(name).ok();
    told.and_then(|value| value.parse().ok()).unwrap_or(usual)
}

/// The items of a setting, which are separated by commas.
fn list(name: &str) -> Option<Vec<String>> {
    let list = std::env::var(name).ok()?;
    Some(list.split(',').map(str::to_owned).collect())
}

/// Whether the setting `of` is missing, or lists a prefix of `name`.
fn is_wanted(of: &str, name: &str) -> bool {
    list(of).is_none_or(|list| list.iter().any(|start| name.starts_with(start)))
}
