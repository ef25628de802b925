//! `--check`: a report on the satellite.
//!
//! This module never starts a satellite. It waits for one that hangs no longer than any client does.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use skypipe_protocol::Status;
use skypipe_protocol::text::{count, printable};

use crate::config::{self, Place, Proxy};
use crate::conversation::{deployed, inquire, is_running};
use crate::exit::{Failure, UNREACHABLE};
use crate::local::directory::Directory;
use crate::output::{self, Form, show, show_json};
use crate::report::{failure, notice, size};
use crate::session::{Question, Timeouts};

/// The last second that can be printed as a date: the end of the year 9999.
const LAST_DATE: u64 = 253_402_300_799;

/// Prints a report on the satellite, and returns the exit code.
///
/// # Errors
///
/// When the environment is invalid, or the system refuses something.
pub fn check(timeouts: Timeouts, data: Option<&Path>, form: Form) -> Result<u8, Failure> {
    output::check()?;
    let place = config::place_of(data)?;
    if let Place::Here(path) = &place
        && !is_running(path)?
    {
        failure("no satellite is running on this machine; one starts at the next use");
        return Ok(UNREACHABLE);
    }
    let inquiry = inquire(Question::Status, &place, false, timeouts)?;
    match (inquiry.status(), &place) {
        (Some(status), _) => {
            let remote = RemoteStatus::of(&place, inquiry.latency);
            let code = match form {
                Form::Table => show(&report(status, &place, &remote, SystemTime::now()))?,
                Form::Json => show_json(&json(status, &place, &remote))?,
            };
            if !status.inherited.is_empty() {
                notice(
                    "the satellite inherited its limits from the first use of skypipe: to lift \
                     them, stop its process (kill PID), then use skypipe first where they do not \
                     apply",
                );
            }
            // The hints say whether the satellite is older than this program, and what to do then.
            inquiry.hints.iter().for_each(|sentence| notice(sentence));
            Ok(code)
        }
        (None, Place::Here(path)) if inquiry.code == UNREACHABLE => {
            failure(&format!("{}; to stop it: skypipe --reset", hung(path)));
            Ok(UNREACHABLE)
        }
        (None, _) => {
            inquiry.tell();
            if let Some(provider) = RemoteStatus::of(&place, None).provider {
                notice(&format!(
                    "it was deployed: {provider}; to start it again if it has stopped: skypipe \
                     --setup"
                ));
            }
            Ok(inquiry.code)
        }
    }
}

/// The sentence about a satellite that runs and does not answer.
pub fn hung(path: &Path) -> String {
    let pid = Directory::open(path)
        .ok()
        .flatten()
        .and_then(|directory| directory.pid());
    let process = pid.map_or_else(String::new, |pid| format!(", process {pid},"));
    format!(
        "the satellite in {}{process} is running but does not answer",
        path.display()
    )
}

/// What this machine knows about a satellite in the network.
struct RemoteStatus {
    /// The platform, if it was deployed from here or found.
    provider: Option<String>,
    /// The proxy for connections to it.
    proxy: Option<Proxy>,
    /// How long the connection took to be made: one round trip.
    latency: Option<Duration>,
}

impl RemoteStatus {
    fn of(place: &Place, latency: Option<Duration>) -> Self {
        let deployed = match place {
            Place::Invited(_, token) => deployed(token),
            Place::Remote(_) | Place::Here(_) => None,
        };
        let proxy = match place {
            Place::Remote(endpoint) | Place::Invited(endpoint, _) => config::proxy(endpoint),
            Place::Here(_) => Ok(None),
        };
        Self {
            proxy: proxy.unwrap_or_default(),
            provider: deployed.map(|deployed| format!("{}, {}", deployed.target, deployed.name)),
            latency,
        }
    }
}

fn milliseconds(time: Duration) -> String {
    let tenths = time.as_micros() / 100;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

/// The document that docs/json.md describes.
fn json(status: &Status, place: &Place, remote: &RemoteStatus) -> Value {
    let limited = |(used, limit): (u64, u64)| json!({ "used": used, "limit": limit });
    // The satellite tells some of it only to those who manage it.
    let managed = status.pid > 0;
    json!({
        "satellite": place.to_string(),
        "provider": remote.provider,
        "proxy": remote.proxy.as_ref().map(ToString::to_string),
        "latency_ms": remote.latency.map(|time| time.as_secs_f64() * 1000.0),
        "version": status.program,
        "since": status.since,
        "pipes": status.pipes,
        "unread_streams": status.waiting,
        "unread_bytes": status.bytes,
        "process": managed.then_some(status.pid),
        "clients": managed.then_some(status.clients),
        "kept": managed.then_some(&status.kept),
        "memory": managed.then(|| limited((status.used, status.memory))),
        "disk": status.disk.map(limited),
        "trouble": status.trouble,
        "inherited": status.inherited,
    })
}

fn report(status: &Status, place: &Place, remote: &RemoteStatus, now: SystemTime) -> String {
    // A satellite may send a time after the end of the calendar, which cannot be printed.
    let since = UNIX_EPOCH + Duration::from_secs(status.since.min(LAST_DATE));
    let age = now.duration_since(since).unwrap_or_default();
    let runs = match place {
        Place::Remote(_) | Place::Invited(..) => place.to_string(),
        Place::Here(_) => format!("on this machine, in {place}"),
    };
    let waiting = if status.waiting == 0 {
        "nothing".to_owned()
    } else {
        let (streams, bytes) = (count(status.waiting, "stream"), count(status.bytes, "byte"));
        format!("{streams} with {bytes}")
    };
    let kept = match status.kept.as_str() {
        "memory" => "in memory only: unread data is lost when the satellite stops",
        other => other,
    };
    let disk = status
        .disk
        .map(|(used, budget)| ("disk", format!("{} of {} used", size(used), size(budget))));
    let trouble = status.trouble.clone().map(|why| ("waits", why));
    let inherited = status.inherited.iter();
    let inherited = inherited.map(|limit| ("inherited", limit.clone()));
    let known = |line: (&'static str, String)| (status.pid > 0).then_some(line);
    let memory = format!("{} of {} used", size(status.used), size(status.memory));
    let lines = [
        Some(("satellite", runs)),
        remote
            .provider
            .clone()
            .map(|provider| ("provider", provider)),
        remote
            .proxy
            .as_ref()
            .map(|proxy| ("proxy", proxy.to_string())),
        Some(("version", status.program.clone())),
        // The satellite tells the rest only to those who manage it.
        known(("process", status.pid.to_string())),
        Some((
            "since",
            format!("{}, {}", humantime::format_rfc3339_seconds(since), ago(age)),
        )),
        remote.latency.map(|time| ("latency", milliseconds(time))),
        known(("clients", status.clients.to_string())),
        Some(("pipes", status.pipes.to_string())),
        Some(("waiting", waiting)),
        known(("kept", kept.to_owned())),
        known(("memory", memory)),
    ];
    let lines = lines.into_iter().flatten();
    let lines = lines.chain(disk).chain(trouble).chain(inherited);
    let lines: Vec<_> = lines
        // A value stays on one line, whatever a satellite sends.
        .map(|(name, value)| format!("{name:<9}  {}\n", printable(&value)))
        .collect();
    lines.concat()
}

/// Formats an age in the largest unit that gives a number of at least two.
fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    let (number, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{} ago", count(number, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status {
            program: "skypipe 1.0.0".to_owned(),
            since: 1_000_000_000,
            pid: 77,
            kept: "memory".to_owned(),
            memory: 256 << 20,
            used: 1536,
            disk: Some((3 << 20, 1 << 30)),
            trouble: None,
            inherited: Vec::new(),
            pipes: 2,
            waiting: 1,
            bytes: 10,
            clients: 3,
        }
    }

    #[test]
    fn the_report_says_what_people_ask() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000_000 + 12 * 60);
        let expected = "satellite  on this machine, in /home/me/.local/state/skypipe
version    \
                        skypipe 1.0.0
process    77
since      2001-09-09T01:46:40Z, 12 minutes \
                        ago
clients    3
pipes      2
waiting    1 stream with 10 bytes
kept       \
                        in memory only: unread data is lost when the satellite stops
memory     \
                        1.5 KiB of 256 MiB used
disk       3 MiB of 1 GiB used
";
        let place = Place::Here("/home/me/.local/state/skypipe".into());
        let nowhere = RemoteStatus {
            provider: None,
            proxy: None,
            latency: None,
        };
        assert_eq!(report(&status(), &place, &nowhere, now), expected);
        let place = Place::Remote("tcp://sky:9000".parse().unwrap());
        let remote = RemoteStatus {
            provider: Some("fly, skypipe-abcdefghij".to_owned()),
            proxy: None,
            latency: Some(Duration::from_micros(12_345)),
        };
        let report = report(&status(), &place, &remote, now);
        for line in [
            "satellite  tcp://sky:9000\n",
            "provider   fly, skypipe-abcdefghij\n",
            "latency    12.3 ms\n",
        ] {
            assert!(report.contains(line), "{report}");
        }
    }

    #[test]
    fn a_satellite_that_began_behind_the_calendar_is_reported_all_the_same() {
        for since in [LAST_DATE, LAST_DATE + 1, 1 << 60, u64::MAX] {
            let status = Status { since, ..status() };
            let place = Place::Here("/".into());
            let remote = RemoteStatus {
                provider: None,
                proxy: None,
                latency: None,
            };
            let report = report(&status, &place, &remote, UNIX_EPOCH);
            assert!(
                report.contains("since      9999-12-31T23:59:59Z"),
                "{report}"
            );
        }
    }

    #[test]
    fn ages_are_in_words() {
        assert_eq!(ago(Duration::from_secs(1)), "1 second ago");
        assert_eq!(ago(Duration::from_secs(7_199)), "119 minutes ago");
        assert_eq!(ago(Duration::from_secs(172_800)), "2 days ago");
    }
}
