//! Priorities of the starter: `nice`, `ionice`, `chrt`, `taskset`, and the order in which processes are
//! killed when memory runs out. It needs two `unsafe` calls.
//!
//! This module resets them to those of an ordinary process. Raising a priority is not allowed to everybody:
//! what stays is reported.

use rustix::process::{getpriority_process, setpriority_process};

/// Resets the priorities. Returns a sentence for each one that could not be reset.
pub fn reset() -> Vec<String> {
    let system = system::reset();
    // It may be forbidden; the value read afterwards shows that.
    let _ = setpriority_process(None, 0);
    let nice = getpriority_process(None).unwrap_or(0);
    let nice = (nice > 0).then(|| format!("it runs at nice {nice}, behind others"));
    nice.into_iter().chain(system).collect()
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs;

    use rustix::thread::{CpuSet, sched_setaffinity};

    /// The file with the score by which Linux chooses what to kill when memory runs out.
    const OOM: &str = "/proc/self/oom_score_adj";

    /// Desktops and services give their programs a score of up to 200 above that of ordinary processes,
    /// which says nothing about the starter.
    const USUAL_OOM: i32 = 300;

    /// Resets everything besides `nice`.
    pub fn reset() -> Vec<String> {
        let mut all = CpuSet::new();
        (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
        // The system ignores processors that do not exist.
        let _ = sched_setaffinity(None, &all);
        let is_ordinary = be_ordinary();
        let class = (!is_ordinary).then(|| "it runs only when nothing else does (chrt)".to_owned());
        let _ = fs::write(OOM, "0");
        let score = fs::read_to_string(OOM).ok();
        let score = score.and_then(|score| score.trim().parse::<i32>().ok());
        let score = score.filter(|score| *score > USUAL_OOM).map(|score| {
            format!("it is among the first to be killed when memory runs out (OOM score {score})")
        });
        class.into_iter().chain(score).collect()
    }

    /// Leaves the idle and real-time classes of the processor and the disk. Returns whether that worked for
    /// the processor.
    #[expect(unsafe_code, reason = "the calls have no safe interface")]
    fn be_ordinary() -> bool {
        /// `IOPRIO_WHO_PROCESS` (`man ioprio_set`).
        const PROCESS: i32 = 1;
        /// Class and level 0: the I/O priority follows `nice`.
        const BY_NICE: i32 = 0;
        // SAFETY: the arguments are three numbers; process 0 is this one. A failure changes nothing.
        let _ = unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, BY_NICE) };
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: the pointer is to a whole structure that outlives the call, which only reads it.
        unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const parameters) == 0 }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    /// Other systems have no such settings, or no way to reset them.
    pub fn reset() -> Vec<String> {
        Vec::new()
    }
}
