//! Large amounts, many clients at once, and the memory that they cost a satellite (rules 4, 8, 11,
//! 12, 13, 16).
//!
//! No test holds large data: expected bytes are generated again for the comparison. Satellites
//! store up to 5 GiB on disk, in the directory that cargo keeps for tests. The data is removed even
//! if a test fails.

mod backlog;
mod bulk;
mod crowd;
mod live;
mod merged;
mod on_disk;
mod restart;

use std::time::Duration;

use crate::common::Environment;

const MIB: u64 = 1 << 20;

/// The time limit of one of these tests.
const DEADLINE: Duration = Duration::from_secs(300);

/// How much memory a satellite may use in addition to its budget.
const BESIDE: u64 = 64 * MIB;

/// The default budget of a satellite.
const BUDGET: u64 = 64 * MIB;

#[track_caller]
fn assert_memory(sky: &Environment, budget: u64) {
    let peak = sky.on_port().peak_memory();
    let (mib, budget_mib) = (peak / MIB, budget / MIB);
    println!("the satellite needed {mib} MiB with a budget of {budget_mib} MiB");
    assert!(peak < budget + BESIDE, "it needed {mib} MiB");
}
