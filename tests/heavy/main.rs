//! Large amounts, many at once, and what they cost a satellite in memory (rules 4, 8, 11, 12, 13, 16).
//!
//! Nothing large is held here: bytes are made anew to be compared. What satellites keep on disk, up to
//! 5 GiB in the directory that cargo keeps for tests, is removed even if the test fails.

#[path = "../common/mod.rs"]
mod common;

mod backlog;
mod bulk;
mod crowd;
mod live;
mod merged;
#[expect(dead_code, reason = "a client for other tests as well")]
#[path = "../peers/new.rs"]
mod new;
mod on_disk;
mod restart;

use std::time::Duration;

use common::Environment;

const MIB: u64 = 1 << 20;

/// How long one of these tests may take.
const DEADLINE: Duration = Duration::from_secs(300);

/// What a satellite may use beside its budget.
const BESIDE: u64 = 64 * MIB;

/// The budget that a satellite has unless told otherwise.
const BUDGET: u64 = 64 * MIB;

#[track_caller]
fn assert_memory(sky: &Environment, budget: u64) {
    let peak = sky.on_port().peak_memory();
    let (mib, budget_mib) = (peak / MIB, budget / MIB);
    println!("the satellite needed {mib} MiB with a budget of {budget_mib} MiB");
    assert!(peak < budget + BESIDE, "it needed {mib} MiB");
}
