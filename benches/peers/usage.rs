//! The processor time of processes and their children, according to Linux's `/proc`. A process that
//! has exited and was not waited for is still listed there.

use std::collections::BTreeMap;
use std::fs;

/// The usage of some processes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Processor time, in seconds.
    pub seconds: f64,
    /// How often the processes yielded or lost a processor.
    pub switches: f64,
}

/// The usage of each of some processes at one time.
pub struct Snapshot(BTreeMap<u32, Usage>);

impl Snapshot {
    /// The usage of these processes and their children.
    pub fn of(pids: &[u32]) -> Self {
        let mut all = BTreeMap::new();
        let mut open = pids.to_vec();
        while let Some(pid) = open.pop() {
            if all.insert(pid, of(pid)).is_none() {
                open.extend(children(pid));
            }
        }
        Self(all)
    }

    /// The usage since an earlier snapshot, by the processes in this one.
    pub fn since(&self, before: &Self) -> Usage {
        self.0.iter().fold(Usage::default(), |sum, (pid, now)| {
            let before = before.0.get(pid).copied().unwrap_or_default();
            Usage {
                seconds: sum.seconds + now.seconds - before.seconds,
                switches: sum.switches + now.switches - before.switches,
            }
        })
    }
}

/// The usage of this process so far; zero if the process is gone.
fn of(pid: u32) -> Usage {
    Usage {
        seconds: seconds(pid).unwrap_or_default(),
        switches: switches(pid).unwrap_or_default(),
    }
}

/// The direct children of this process.
pub fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let list = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).ok();
    let lists: Vec<String> = threads.flatten().flatten().filter_map(list).collect();
    let pids = lists.iter().flat_map(|list| list.split_whitespace());
    pids.filter_map(|pid| pid.parse().ok()).collect()
}

/// Fields 14 and 15 of `proc_pid_stat(5)`, in hundredths of a second as on all current systems.
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
