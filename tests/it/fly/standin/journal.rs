//! The record of all requests, and of what was malformed.
//!
//! Owns the record that tests look at. Never holds a token or a body.

use super::faults::fits;

/// A request, and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The method.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// The status of the answer; 0 if the connection was cut.
    pub status: u16,
    /// Whether the request took effect, whatever was answered.
    pub done: bool,
}

/// All requests, in the order of their answers.
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

    /// The requests that fit a pattern (see [`super::faults`]).
    pub fn matching(&self, pattern: &str) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| fits(pattern, &entry.method, &entry.path))
    }

    /// The complaints about malformed requests.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.clone()
    }
}
