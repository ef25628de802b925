//! skypipe beside every tool of its kind that is on PATH: `cargo bench --bench peers`.
//!
//! All are measured in turn, several times; the table shows medians. Each byte and line is checked. What can
//! be said in the environment:
//!
//! - `ROUNDS=5`: how often; `MB=1000`: how much for what is measured in bulk.
//! - `ONLY=bulk,line`: these measures alone; `PEERS=skypipe,socat`: tools whose names begin so.
//! - `WRITE=docs/benchmarks.md`: puts the table and the plots there.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "sizes and times on their way to three digits"
)]

#[path = "../common/mod.rs"]
mod common;
mod measures;
mod pattern;
mod peer;
mod report;
mod shaper;
mod usage;

use std::path::Path;

use self::report::Report;

fn main() {
    let rounds = setting("ROUNDS", 5);
    let bytes = setting("MB", 1000) * 1_000_000;
    let directory = tempfile::tempdir().expect("a directory");
    let peers = peer::all(directory.path());
    let mut report = Report::default();
    for measure in measures::ALL
        .iter()
        .filter(|measure| is_wanted("ONLY", measure.name))
    {
        for round in 1..=rounds {
            for peer in peers.iter().filter(|peer| is_wanted("PEERS", peer.name())) {
                eprintln!("{}, round {round}: {}", measure.name, peer.name());
                match (measure.run)(peer.as_ref(), bytes) {
                    None => {}
                    Some(Ok(figures)) => {
                        for (figure, value) in figures {
                            report.note(peer.name(), figure, value);
                        }
                    }
                    Some(Err(why)) => {
                        report.fault(format!("{}, {}: {why}", peer.name(), measure.name));
                    }
                }
            }
        }
    }
    println!("{}", report.table());
    if let Ok(page) = std::env::var("WRITE") {
        report
            .write(Path::new(&page))
            .expect("the page can be written");
    }
}

fn setting(name: &str, usual: u64) -> u64 {
    let told = std::env::var(name).ok();
    told.and_then(|value| value.parse().ok()).unwrap_or(usual)
}

/// Whether the list of this name, if there is one, has the beginning of it.
fn is_wanted(list: &str, name: &str) -> bool {
    let Ok(list) = std::env::var(list) else {
        return true;
    };
    list.split(',').any(|start| name.starts_with(start))
}
