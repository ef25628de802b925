//! How much of the machine whoever started this program was given: `nice`, `ionice`, `chrt`, `taskset`,
//! and who is ended first when memory runs out. An unsafe corner: two calls that have no safe interface.
//!
//! Owns the way back to what an ordinary process has. Going up is not allowed to everybody: what stays is
//! told.

use rustix::process::{getpriority_process, setpriority_process};

/// Goes back to what an ordinary process has; returns in words what could not be had.
pub fn reset() -> Vec<String> {
    let system = system::reset();
    // Fails where it is not allowed, which is seen by what it is then.
    let _ = setpriority_process(None, 0);
    let nice = getpriority_process(None).unwrap_or(0);
    let nice = (nice > 0).then(|| format!("it runs at nice {nice}, behind others"));
    nice.into_iter().chain(system).collect()
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs;

    use rustix::thread::{CpuSet, sched_setaffinity};

    /// Where the system is told who is ended first.
    const OOM: &str = "/proc/self/oom_score_adj";

    /// Desktops and services give their programs up to 200 more than an ordinary process has, which is no
    /// matter of who started this one.
    const USUAL_OOM: i32 = 300;

    /// What there is besides `nice`.
    pub fn reset() -> Vec<String> {
        let mut all = CpuSet::new();
        (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
        // The system takes those of them that there are.
        let _ = sched_setaffinity(None, &all);
        let is_ordinary = be_ordinary();
        let class = (!is_ordinary).then(|| "it runs only when nothing else does (chrt)".to_owned());
        let _ = fs::write(OOM, "0");
        let score = fs::read_to_string(OOM).ok();
        let score = score.and_then(|score| score.trim().parse::<i32>().ok());
        let score = score.filter(|score| *score > USUAL_OOM).map(|score| {
            format!("it is among the first to be ended when memory runs out (OOM score {score})")
        });
        class.into_iter().chain(score).collect()
    }

    /// Leaves the classes for idle time and for real time, with the processor and the disk; whether the
    /// processor's could be left.
    #[expect(unsafe_code, reason = "the calls have no safe interface")]
    fn be_ordinary() -> bool {
        /// `IOPRIO_WHO_PROCESS` (`man ioprio_set`).
        const PROCESS: i32 = 1;
        /// Class and level 0: as `nice` has it.
        const BY_NICE: i32 = 0;
        // SAFETY: three numbers; process 0 is this one. A failure leaves things as they were.
        let _ = unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, BY_NICE) };
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: the pointer is to a whole structure that outlives the call, which only reads it.
        unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const parameters) == 0 }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    /// Other systems have no such things, or no way to leave them.
    pub fn reset() -> Vec<String> {
        Vec::new()
    }
}
