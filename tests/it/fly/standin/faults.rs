//! Injected faults.
//!
//! Owns the list of faults. A pattern is a method and a path without its query, in which `*` stands
//! for any one part (`POST /v1/apps/*/volumes`). `*` alone stands for every request.

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It gets this status and takes effect all the same.
    After(u16),
    /// The connection is cut, and the request has no effect.
    CutBefore,
    /// The connection is cut before the answer, and the request takes effect.
    CutAfter,
}

/// A fault: the `nth` request from now on that fits the pattern fails. The first one is 1.
#[derive(Debug)]
struct Fault {
    pattern: String,
    left: u64,
    how: How,
}

/// All faults.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds a fault.
    pub fn add(&mut self, pattern: &str, nth: u64, how: How) {
        self.0.push(Fault {
            pattern: pattern.to_owned(),
            left: nth,
            how,
        });
    }

    /// Counts a request, and returns how it fails, if it does.
    pub fn next(&mut self, method: &str, path: &str) -> Option<How> {
        let mut due = None;
        for fault in &mut self.0 {
            if fits(&fault.pattern, method, path) {
                fault.left = fault.left.saturating_sub(1);
                if fault.left == 0 && due.is_none() {
                    due = Some(fault.how);
                }
            }
        }
        self.0.retain(|fault| fault.left > 0);
        due
    }

    /// How many faults have not happened yet.
    pub fn left(&self) -> usize {
        self.0.len()
    }
}

/// Whether a request fits a pattern.
pub fn fits(pattern: &str, method: &str, path: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let Some((wanted, pattern)) = pattern.split_once(' ') else {
        return false;
    };
    let path = path.split('?').next().unwrap_or_default();
    let same = |(pattern, part): (&str, &str)| pattern == "*" || pattern == part;
    let (patterns, parts) = (pattern.split('/'), path.split('/'));
    wanted == method
        && patterns.clone().count() == parts.clone().count()
        && patterns.zip(parts).all(same)
}
