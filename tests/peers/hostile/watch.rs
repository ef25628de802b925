//! What must hold of a satellite under attack.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::common::Environment;
use crate::common::wait::{PATIENCE, holds_within};
use crate::new::New;

/// What an attack may leave behind in memory, in bytes: what the allocator does not give back.
const LEFT_BEHIND: u64 = 32 << 20;

/// How long an ordinary client may wait for a whole stream to be stored and taken, on a machine of
/// two cores that the attackers have too.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Held by who measures how an ordinary client is served: two attacks at a time, each on a satellite of
/// its own, would share what the machine has, and say nothing of either.
static ALONE: Mutex<()> = Mutex::new(());

/// Watches over the satellite of an environment, as its ordinary client.
pub struct Watch<'e> {
    environment: &'e Environment,
    before: Figures,
    is_over: Arc<AtomicBool>,
    ordinary: Option<JoinHandle<Served>>,
    _alone: Option<MutexGuard<'static, ()>>,
}

#[derive(Debug, Clone, Copy)]
struct Figures {
    /// Resident memory in bytes.
    memory: u64,
    descriptors: usize,
}

/// How the ordinary client was served.
#[derive(Debug, Clone, Copy, Default)]
struct Served {
    times: u32,
    longest: Duration,
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
        let flag = Arc::clone(&is_over);
        let ordinary = thread::spawn(move || serve_ordinary(&client, &flag));
        Self {
            environment,
            before,
            is_over,
            ordinary: Some(ordinary),
            _alone: Some(alone),
        }
    }

    /// The same without an ordinary client, where all streams are used up on purpose.
    pub fn alone_over(environment: &'e Environment) -> Self {
        program_works(environment);
        let before = figures(environment);
        Self {
            environment,
            before,
            is_over: Arc::default(),
            ordinary: None,
            _alone: None,
        }
    }

    /// How many bytes of memory more there are in use than before.
    pub fn more_memory(&self) -> u64 {
        figures(self.environment)
            .memory
            .saturating_sub(self.before.memory)
    }

    /// The attack is over, and all is as it was.
    #[track_caller]
    pub fn all_is_well(self) {
        self.all_is_well_but(LEFT_BEHIND);
    }

    /// The same, where the allocator may keep more: many small things, freed one by one.
    #[track_caller]
    pub fn all_is_well_but(self, left_behind: u64) {
        let process = self.environment.on_port().process();
        assert!(
            process.runs(),
            "the satellite has ended: {}",
            process.said()
        );
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(ordinary) = self.ordinary {
            let served = ordinary.join().expect("the ordinary client was served");
            assert!(served.longest < AT_ONCE && served.times > 0, "{served:?}");
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

fn serve_ordinary(client: &New, is_over: &AtomicBool) -> Served {
    let mut served = Served::default();
    while !is_over.load(Ordering::Relaxed) {
        let start = Instant::now();
        client.pipe_works("ordinary");
        served.longest = served.longest.max(start.elapsed());
        served.times += 1;
        // It is a client among others, not a load of its own.
        thread::park_timeout(Duration::from_millis(5));
    }
    served
}

/// Our own program writes and reads.
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
