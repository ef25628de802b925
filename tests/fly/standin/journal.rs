//! What was asked, and what was wrong with it.
//!
//! Owns the record that tests look at. Never holds a token, nor a body.

use super::faults::fits;

/// A request and how it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The method.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// The status that was answered; 0 where the connection was cut.
    pub status: u16,
    /// Whether it was done, whatever was answered.
    pub done: bool,
}

/// All requests in the order in which they were answered.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Vec<Entry>,
    complaints: Vec<String>,
}

impl Journal {
    /// Adds a request.
    pub fn add(&mut self, entry: Entry, complaint: Option<String>) {
        if let Some(complaint) = complaint {
            self.complaints
                .push(format!("{} {}: {complaint}", entry.method, entry.path));
        }
        self.entries.push(entry);
    }

    /// All requests.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.clone()
    }

    /// Those that fit a pattern (see [`super::faults`]).
    pub fn matching(&self, pattern: &str) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| fits(pattern, &entry.method, &entry.path))
    }

    /// What was wrong with the form of requests.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.clone()
    }
}
