//! What processes have used, as Linux tells in `/proc`: a process that has ended and was not waited for is
//! still told of.

use std::fs;
use std::ops::{Add, Sub};

/// What some processes have used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Processor time, in seconds.
    pub seconds: f64,
    /// How often they gave a processor up or lost it.
    pub switches: f64,
}

impl Usage {
    /// What this process has used so far; nothing if it is gone.
    pub fn of(pid: u32) -> Self {
        Self {
            seconds: seconds(pid).unwrap_or_default(),
            switches: switches(pid).unwrap_or_default(),
        }
    }

    /// What all of these have.
    pub fn of_all(pids: &[u32]) -> Self {
        pids.iter()
            .fold(Self::default(), |sum, pid| sum + Self::of(*pid))
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            switches: self.switches + other.switches,
        }
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            seconds: self.seconds - other.seconds,
            switches: self.switches - other.switches,
        }
    }
}

/// Fields 14 and 15 of `proc_pid_stat(5)`, in hundredths of a second as on all systems of today.
fn seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

fn switches(pid: u32) -> Option<f64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let status = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("status")).ok();
    let counts = threads.flatten().filter_map(status).map(|status| {
        let lines = status
            .lines()
            .filter(|line| line.contains("_ctxt_switches"));
        let counts = lines.filter_map(|line| line.split('\t').nth(1)?.parse::<f64>().ok());
        counts.sum::<f64>()
    });
    Some(counts.sum())
}
