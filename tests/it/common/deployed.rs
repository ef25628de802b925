//! The test of a deployed satellite's life, which is the same on every platform.

use std::fs;
use std::time::Duration;

use super::Environment;
use super::outcome::Outcome;
use super::process::Run;
use super::terminal::Terminal;

/// The timeout of the whole test: programs of fifty megabytes are packed, pushed and pulled.
pub const STORY: Duration = Duration::from_secs(5 * 60);

/// The timeout of one deployment.
const DEPLOYMENT: Duration = Duration::from_secs(2 * 60);

/// Where a satellite is to be deployed.
pub struct Sky {
    /// The argument of `--setup`.
    pub target: String,
    /// The environment variables that deploying needs. Using a pipe does not need them.
    pub vars: Vec<(&'static str, String)>,
    /// The `tcp://host:port` of the deployed satellite.
    pub endpoint: String,
}

/// Checks of the platform's state between the steps.
pub trait Platform {
    /// How many requests the platform has got, if it counts them.
    fn asked(&self) -> Option<usize> {
        None
    }

    /// Checks that there is exactly one satellite.
    fn has_one(&self);

    /// Checks that nothing of a satellite is left.
    fn has_none(&self);
}

/// Another machine of the same user.
pub fn machine() -> Environment {
    Environment::here_within(STORY)
}

impl Sky {
    /// `skypipe ARGUMENTS` on this machine, with the variables for deploying.
    pub fn skypipe(&self, machine: &Environment, arguments: &[&str]) -> Run {
        let run = machine.skypipe(arguments).patient(DEPLOYMENT);
        let vars = self.vars.iter();
        vars.fold(run, |run, (name, value)| run.var(name, value))
    }

    /// `skypipe --setup TARGET` on this machine, with these flags.
    pub fn setup(&self, machine: &Environment, flags: &[&str]) -> Run {
        self.skypipe(machine, &[&["--setup", &self.target], flags].concat())
    }

    /// Deploys the satellite, and returns the machine that did.
    pub fn first(&self) -> Environment {
        let machine = machine();
        let outcome = self.setup(&machine, &[]).done();
        self.assert_ready(&outcome, "first");
        assert_eq!(outcome.stdout, b"", "{outcome}");
        machine
    }

    /// Checks that `--setup` reported the satellite's address and this machine's name.
    #[track_caller]
    pub fn assert_ready(&self, outcome: &Outcome, name: &str) {
        let ready = format!(
            "skypipe: ready: this machine uses the satellite at {}, as {name}",
            self.endpoint
        );
        assert!(outcome.stderr.contains(&ready), "no {ready:?}: {outcome}");
        assert_eq!(outcome.code, Some(0), "{outcome}");
    }

    /// Runs all steps, on an empty platform.
    pub fn whole_story(&self, platform: &dyn Platform) {
        let first = self.first();
        platform.has_one();
        let asked = platform.asked();
        let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        first.skypipe(&["-w", "files"]).fed(&bytes).success();

        let phrase = first.skypipe(&["--phrase"]).done();
        assert_eq!(platform.asked(), asked, "a pipe asks no platform");
        let phrase = String::from_utf8(phrase.told(0, "write these six words down")).unwrap();
        self.without_the_phrase(platform);
        let second = self.second(phrase.trim());
        platform.has_one();
        second.skypipe(&["-r", "files"]).done().printed(&bytes);

        self.again(&second);
        platform.has_one();
        self.is_checked(&second);
        self.ends(&first, &second, platform);
    }

    /// A machine whose user does not know the phrase cannot join, and breaks nothing.
    fn without_the_phrase(&self, platform: &dyn Platform) {
        let stranger = machine();
        let outcome = self.setup(&stranger, &[]).done();
        assert_eq!(outcome.code, Some(2), "{outcome}");
        assert!(outcome.stderr.contains("SKYPIPE_PHRASE"), "{outcome}");
        let joined = stranger.home().join(".config/skypipe/satellite");
        assert!(!joined.exists());
        platform.has_one();
        // The second attempt uses the same key.
        let keys = |machine: &Environment| {
            let outcome = self
                .setup(machine, &[])
                .var("SKYPIPE_PHRASE", "one two three");
            assert_eq!(outcome.done().code, Some(1));
        };
        keys(&stranger);
    }

    /// Another machine finds the satellite and joins with the phrase. A script reads the progress.
    fn second(&self, phrase: &str) -> Environment {
        let machine = machine();
        let run = self.setup(&machine, &["--json"]);
        let outcome = run.var("SKYPIPE_PHRASE", phrase).done();
        assert_eq!(outcome.code, Some(0), "{outcome}");
        let lines = String::from_utf8_lossy(&outcome.stdout).into_owned();
        let events: Vec<serde_json::Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("each line is JSON"))
            .collect();
        let ready = events.last().expect("something is told");
        assert_eq!(ready["event"], "ready", "it is told last: {lines}");
        assert_eq!(ready["endpoint"], *self.endpoint);
        assert_eq!(ready["version"], env!("CARGO_PKG_VERSION"));
        let begun = |event: &&serde_json::Value| event["event"] == "begin";
        let done = |event: &&serde_json::Value| event["event"] == "done";
        assert!(events.iter().filter(begun).count() >= 3, "{lines}");
        let count = events.iter().filter(done).count();
        assert_eq!(events.iter().filter(begun).count(), count, "{lines}");
        machine
    }

    /// A repeated `--setup` changes nothing, with and without the target.
    fn again(&self, machine: &Environment) {
        let before = fs::read(machine.home().join(".config/skypipe/satellite")).unwrap();
        for arguments in [vec!["--setup", &self.target], vec!["--setup"]] {
            let outcome = self.skypipe(machine, &arguments).done();
            assert_eq!(outcome.code, Some(0), "{outcome}");
            assert!(outcome.stderr.contains("ready: this machine"), "{outcome}");
        }
        let after = fs::read(machine.home().join(".config/skypipe/satellite")).unwrap();
        assert!(before == after, "it is the same invitation");
        let keys = machine.skypipe(&["--keys"]).done().success();
        let keys = String::from_utf8(keys).unwrap();
        // The keys: the satellite's own machine, the owner, the machine without the phrase, this machine.
        assert_eq!(keys.lines().count(), 1 + 4, "{keys}");
    }

    fn is_checked(&self, machine: &Environment) {
        let report = machine.skypipe(&["--check"]).done().success();
        let report = String::from_utf8(report).unwrap();
        let satellite = format!("satellite  {}\n", self.endpoint);
        let provider = format!("provider   {}, ", self.target);
        let version = format!("version    skypipe {}\n", env!("CARGO_PKG_VERSION"));
        for line in [&satellite, &provider, &version, "latency  ", "waiting    "] {
            assert!(report.contains(line), "no {line:?} in {report}");
        }
    }

    /// `--reset` names the unread data, and destroys the satellite when it is told to.
    fn ends(&self, first: &Environment, second: &Environment, platform: &dyn Platform) {
        first.skypipe(&["-w", "left"]).fed("alone").success();
        let outcome = self.skypipe(second, &["--reset"]).done();
        assert_eq!(outcome.code, Some(2), "{outcome}");
        let lost = "this would delete 1 unread stream (";
        assert!(
            outcome.stderr.contains(lost) && outcome.stderr.contains("--yes"),
            "{outcome}"
        );
        platform.has_one();

        let terminal = Terminal::open();
        let asked = self.skypipe(second, &["--reset"]).on(&terminal).start();
        terminal.shows("Remove it? [y/N] ");
        terminal.types("n\n");
        assert_eq!(asked.outcome().code, Some(1), "{}", terminal.screen());
        platform.has_one();

        let terminal = Terminal::open();
        let asked = self.skypipe(second, &["--reset"]).on(&terminal).start();
        terminal.shows("Remove it? [y/N] ");
        terminal.types("y\n");
        assert_eq!(asked.outcome().code, Some(0), "{}", terminal.screen());
        terminal.shows("the satellite is gone");
        platform.has_none();

        let outcome = self.skypipe(first, &["--reset", "--yes", "--json"]).done();
        assert_eq!(outcome.code, Some(0), "{outcome}");
        let lines = String::from_utf8_lossy(&outcome.stdout).into_owned();
        assert!(lines.contains(r#""event":"gone""#), "{outcome}");
        for machine in [first, second] {
            let kept = machine.home().join(".config/skypipe");
            let left = fs::read_dir(kept).unwrap().count();
            assert_eq!(left, 0, "no machine keeps anything of it");
            let outcome = machine.skypipe(&["--check"]).done();
            assert_eq!(
                outcome.told(4, "no satellite is running on this machine"),
                b""
            );
        }
    }
}
