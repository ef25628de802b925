//! Parses the output of `skypipe --list`.

use super::Environment;
use super::wait;

/// One pipe's line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Streams with unread data.
    pub waiting: u64,
    /// Unread bytes.
    pub bytes: u64,
    /// Connected writers.
    pub writers: u64,
    /// Listeners of every kind.
    pub listeners: u64,
    /// Whether writers wait for room.
    pub full: bool,
}

impl Environment {
    /// The line of the pipe `name` (`(default)` for the one without a name). All zero if there is none.
    pub fn listed(&self, name: &str) -> Listed {
        let table = self.table();
        let line = table
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name));
        line.map(read).unwrap_or_default()
    }

    /// The lines of all pipes, with their names.
    pub fn listing(&self) -> Vec<(String, Listed)> {
        let read = |line: &str| {
            let name = line.split_whitespace().next().unwrap_or_default();
            (name.to_owned(), read(line))
        };
        self.table().lines().skip(1).map(read).collect()
    }

    fn table(&self) -> String {
        let table = self.skypipe(&["--list"]).done().success();
        String::from_utf8(table).expect("names are UTF-8 here")
    }

    /// Whether the pipe `name` has no unread data and no users.
    pub fn is_gone(&self, name: &str) -> bool {
        self.listed(name) == Listed::default()
    }

    /// Waits until the line of the pipe `name` satisfies `good`.
    #[track_caller]
    pub fn until_listed(&self, name: &str, what: &str, good: impl Fn(&Listed) -> bool) {
        let mut last = Listed::default();
        let is_good = wait::holds_within(wait::PATIENCE, || {
            last = self.listed(name);
            good(&last)
        });
        assert!(
            is_good,
            "in vain: {what}; the last line of {name} was {last:?}"
        );
    }

    /// Waits until the pipe `name` has this many listeners.
    #[track_caller]
    pub fn until_listeners(&self, name: &str, number: u64) {
        let what = format!("{number} listeners");
        self.until_listed(name, &what, |line| line.listeners == number);
    }

    /// Waits until this many streams wait in the pipe `name`.
    #[track_caller]
    pub fn until_waiting(&self, name: &str, number: u64) {
        let what = format!("{number} waiting streams");
        self.until_listed(name, &what, |line| line.waiting == number);
    }

    /// Waits until every byte in the pipe `name` has been confirmed.
    #[track_caller]
    pub fn until_taken(&self, name: &str) {
        self.until_listed(name, "nothing waits", |line| {
            (line.waiting, line.bytes) == (0, 0)
        });
    }
}

fn read(line: &str) -> Listed {
    let mut cells = line.split_whitespace().skip(1);
    let mut number = || {
        let cell = cells.next().and_then(|cell| cell.parse().ok());
        cell.unwrap_or_else(|| panic!("no line of a listing: {line}"))
    };
    Listed {
        waiting: number(),
        bytes: number(),
        writers: number(),
        listeners: number(),
        full: line.trim_end().ends_with(" full"),
    }
}
