//! Invariants of a satellite under attack.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::common::Environment;
use crate::common::satellite::PEAK;
use crate::common::wait::{PATIENCE, holds_within, until};
use crate::peers::new::New;

/// The memory that an attack may leave behind, in bytes: what the allocator does not give back.
pub const LEFT_BEHIND: u64 = 16 << 20;

/// How long an ordinary client may wait until a whole stream is stored and read, on a machine with two
/// cores that the attackers use, too.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Held while a test measures how an ordinary client is served. Two attacks at once, each on its own
/// satellite, would share the machine and make both measurements meaningless.
static ALONE: Mutex<()> = Mutex::new(());

/// Watches the satellite of an environment, as its ordinary client.
pub struct Watch<'e> {
    environment: &'e Environment,
    before: Figures,
    is_over: Arc<AtomicBool>,
    /// How often the ordinary client has been served.
    times: Arc<AtomicU32>,
    ordinary: Option<JoinHandle<Duration>>,
    _alone: Option<MutexGuard<'static, ()>>,
}

#[derive(Debug, Clone, Copy)]
struct Figures {
    /// Resident memory, in bytes.
    memory: u64,
    descriptors: usize,
}

impl<'e> Watch<'e> {
    pub fn over(environment: &'e Environment) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        program_works(environment);
        let is_over = Arc::new(AtomicBool::new(false));
        let endpoint = environment.on_port().endpoint().to_owned();
        let client = New::at(&endpoint);
        client.pipe_works("ordinary");
        let before = figures(environment);
        let times = Arc::new(AtomicU32::new(0));
        let (flag, count) = (Arc::clone(&is_over), Arc::clone(&times));
        let ordinary = thread::spawn(move || serve_ordinary(&client, &flag, &count));
        Self {
            environment,
            before,
            is_over,
            times,
            ordinary: Some(ordinary),
            _alone: Some(alone),
        }
    }

    /// The same without an ordinary client, for tests that use up all streams on purpose.
    pub fn alone_over(environment: &'e Environment) -> Self {
        program_works(environment);
        let before = figures(environment);
        Self {
            environment,
            before,
            is_over: Arc::default(),
            times: Arc::default(),
            ordinary: None,
            _alone: None,
        }
    }

    /// The same, while no other test may measure.
    pub fn by_itself_over(environment: &'e Environment) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            _alone: Some(alone),
            ..Self::alone_over(environment)
        }
    }

    /// By how many bytes the memory use has grown.
    pub fn more_memory(&self) -> u64 {
        figures(self.environment)
            .memory
            .saturating_sub(self.before.memory)
    }

    /// Waits until the ordinary client has been served twice more: the second time began during the attack.
    #[track_caller]
    pub fn serves_meanwhile(&self) {
        let before = self.times.load(Ordering::Relaxed);
        until("the ordinary client is served", || {
            self.times.load(Ordering::Relaxed) >= before + 2
        });
    }

    /// Checks, after the attack, that everything is as before.
    #[track_caller]
    pub fn all_is_well(self) {
        self.all_is_well_but(LEFT_BEHIND);
    }

    /// The same, where the allocator may keep more: many small objects, freed one by one.
    #[track_caller]
    pub fn all_is_well_but(self, left_behind: u64) {
        let process = self.environment.on_port().process();
        assert!(
            process.runs(),
            "the satellite has ended: {}",
            process.said()
        );
        let peak = self.environment.on_port().peak_memory();
        println!("it had at most {} MiB", peak >> 20);
        assert!(peak <= PEAK, "it had up to {peak} bytes");
        if let Some(ordinary) = self.ordinary {
            // On a busy machine, an attack can end before the client has begun.
            until("the ordinary client is served", || {
                self.times.load(Ordering::Relaxed) > 0
            });
            self.is_over.store(true, Ordering::Relaxed);
            let longest = ordinary.join().expect("the ordinary client was served");
            assert!(longest < AT_ONCE, "it waited for {longest:?}");
        }
        program_works(self.environment);
        let mut after = self.before;
        let is_as_before = holds_within(PATIENCE, || {
            after = figures(self.environment);
            after.memory <= self.before.memory + left_behind
                && after.descriptors <= self.before.descriptors
        });
        assert!(is_as_before, "before {:?}, after {after:?}", self.before);
    }
}

/// Serves the ordinary client and counts, until the attack is over. Returns its longest wait.
fn serve_ordinary(client: &New, is_over: &AtomicBool, times: &AtomicU32) -> Duration {
    let mut longest = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        let start = Instant::now();
        client.pipe_works("ordinary");
        longest = longest.max(start.elapsed());
        times.fetch_add(1, Ordering::Relaxed);
        // The client must not be a load of its own.
        thread::park_timeout(Duration::from_millis(5));
    }
    longest
}

/// Checks that our own program can write and read.
fn program_works(environment: &Environment) {
    environment
        .skypipe(&["-w", "program"])
        .fed("hello sky\n")
        .printed("");
    environment
        .skypipe(&["-r", "program"])
        .done()
        .printed("hello sky\n");
}

fn figures(environment: &Environment) -> Figures {
    let satellite = environment.on_port();
    Figures {
        memory: satellite.memory(),
        descriptors: satellite.open_files(),
    }
}
