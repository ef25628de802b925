//! `--keys`: lists the authorized keys.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use skypipe_protocol::KeyInfo;
use skypipe_protocol::text::{cell, count, pipe_cell};

use crate::access::Member;
use crate::exit::Failure;
use crate::output::{self, Form, padded, show, show_json};
use crate::report::size;

const HEAD: [&str; 6] = ["KEY", "ALLOWS", "PIPES", "EXPIRES", "USED", "HOLDS"];

/// Prints the keys of the satellite, and returns the exit code.
///
/// # Errors
///
/// When this machine may not see them, or the satellite cannot be reached.
pub fn list(data: Option<&Path>, form: Form) -> Result<u8, Failure> {
    output::check()?;
    let keys = Member::here(data)?.keys()?.keys;
    match form {
        Form::Table => show(&table(keys.iter())),
        Form::Json => show_json(&json!({ "keys": keys.iter().map(json).collect::<Vec<_>>() })),
    }
}

/// A key as docs/json.md describes it.
fn json(key: &KeyInfo) -> Value {
    json!({
        "name": key.name,
        "read": key.rights.read,
        "write": key.rights.write,
        "manage": key.rights.manage,
        "pipes": key.pipes,
        "expires": key.expires,
        "quota": key.quota,
        "made": key.made,
        "used": key.used,
        "connected": key.is_connected,
        "clients": key.holds.clients,
        "readers": key.holds.listeners,
        "writers": key.holds.writers,
        "unread_streams": key.holds.streams,
        "unread_bytes": key.holds.bytes,
    })
}

/// One row for each key, all columns left-aligned.
fn table<'a>(keys: impl Iterator<Item = &'a KeyInfo>) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(keys.map(row));
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths = [0, 1, 2, 3, 4, 5].map(width);
    let line = |row: &[String; HEAD.len()]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<_> = cells.map(|(cell, width)| padded(cell, width)).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn row(key: &KeyInfo) -> [String; HEAD.len()] {
    let pipes = if key.pipes.is_empty() {
        "all".to_owned()
    } else {
        let pipes: Vec<_> = key.pipes.iter().map(|pipe| pipe_cell(pipe)).collect();
        pipes.join(", ")
    };
    let used = match key.used {
        _ if key.is_connected => "now".to_owned(),
        Some(used) => time(used),
        None => "never".to_owned(),
    };
    let expires = key.expires.map_or_else(|| "never".to_owned(), time);
    [
        cell(&key.name),
        key.rights.to_string(),
        pipes,
        expires,
        used,
        held(key),
    ]
}

/// A summary of what the key uses of its share.
fn held(key: &KeyInfo) -> String {
    let holds = key.holds;
    let counts = [
        (holds.clients, "client"),
        (holds.listeners, "listener"),
        (holds.writers, "writer"),
        (holds.streams, "stream"),
    ];
    let there = counts.into_iter().filter(|(number, _)| *number > 0);
    let mut words: Vec<_> = there.map(|(number, what)| count(number, what)).collect();
    if holds.bytes > 0 || key.quota.is_some() {
        let limit = key.quota.map(|quota| format!(" of {}", size(quota)));
        words.push(format!(
            "{}{}",
            size(holds.bytes),
            limit.unwrap_or_default()
        ));
    }
    if words.is_empty() {
        return "nothing".to_owned();
    }
    words.join(", ")
}

/// Formats a time in seconds since 1970 (UTC).
fn time(seconds: u64) -> String {
    // The key's creator chose the number. A time after the calendar's end is shown as the calendar's last
    // day.
    const LAST: u64 = 253_402_300_799;
    let time = UNIX_EPOCH + Duration::from_secs(seconds.min(LAST));
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use skypipe_protocol::{Holds, PublicKey, Rights};

    use super::*;

    #[test]
    fn columns_are_aligned() {
        let key = |name: &str, rights, pipes: &[&str], expires, used, is_connected| KeyInfo {
            name: name.to_owned(),
            encryption: PublicKey([0; 32]),
            rights,
            pipes: pipes.iter().map(|&pipe| pipe.to_owned()).collect(),
            expires,
            quota: None,
            holds: Holds::default(),
            made: 0,
            used,
            is_connected,
            has_keyring: true,
            attestation: None,
        };
        let write = Rights {
            read: false,
            write: true,
            manage: false,
        };
        let mut keys = [
            key("first", Rights::ALL, &[], None, Some(1), true),
            key(
                "größe",
                write,
                &["", "logs", "x*"],
                Some(u64::MAX),
                Some(1_000_000_000),
                false,
            ),
        ];
        keys[1].quota = Some(1 << 20);
        keys[1].holds = Holds {
            clients: 1,
            streams: 2,
            bytes: 1536,
            ..Holds::default()
        };
        let expected = "\
KEY    ALLOWS  PIPES                EXPIRES               USED                  HOLDS
first  all     all                  never                 now                   nothing
größe  write   (default), logs, x*  9999-12-31T23:59:59Z  2001-09-09T01:46:40Z  1 client, 2 streams, 1.5 KiB of 1 MiB
";
        assert_eq!(table(keys.iter()), expected);
    }
}
