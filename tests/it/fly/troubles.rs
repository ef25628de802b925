//! Failures at Fly.io, as users see them.

use rustix::process::Signal;

use crate::common::deployed::{Sky, machine};
use crate::common::network::Network;
use crate::common::outcome::Outcome;
use crate::common::{parts, wait};
use crate::fly::registry::Registry;
use crate::fly::standin::{How, Leftovers, Options, Standin};
use crate::fly::story::{TOKEN, sky};

/// The platform, and the account as its user has it. The last field is dropped last.
struct Account {
    standin: Standin,
    sky: Sky,
    _registry: Registry,
    _network: Network,
}

impl Account {
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        let network = Network::enter();
        let registry = Registry::start(TOKEN);
        let mut options = Options::new(TOKEN, registry.address()).quick();
        change(&mut options);
        let standin = Standin::start(options);
        Self {
            sky: sky(&standin, &registry),
            standin,
            _registry: registry,
            _network: network,
        }
    }

    /// Sets a variable to another value.
    fn set(&mut self, name: &'static str, value: &str) {
        self.sky.vars.retain(|(known, _)| *known != name);
        self.sky.vars.push((name, value.to_owned()));
    }

    /// Asserts that there is exactly one object of each kind, that the satellite runs, and that no
    /// request was malformed.
    #[track_caller]
    fn has_one(&self) {
        let left = self.standin.leftovers();
        let counts = (left.apps.len(), left.volumes.len(), left.machines.len());
        assert_eq!(counts, (1, 1, 1), "{left:?}");
        assert_eq!(self.standin.machines()[0].state, "started");
        self.is_correct();
    }

    #[track_caller]
    fn is_correct(&self) {
        assert_eq!(self.standin.complaints(), Vec::<String>::new());
    }
}

/// Asserts that the command failed, with a sentence that contains all these words.
#[track_caller]
fn fails(outcome: &Outcome, words: &[&str]) {
    assert_eq!(outcome.code, Some(1), "{outcome}");
    for word in words {
        assert!(outcome.stderr.contains(word), "no {word:?}: {outcome}");
    }
    assert!(!outcome.stderr.contains(TOKEN), "{outcome}");
}

#[test]
fn a_slow_rate_a_lag_and_a_taken_name_only_take_time() {
    if !parts::are_there() {
        return;
    }
    let account = Account::new(|options| {
        // A second is three real seconds here, so that the rate limits take effect.
        options.second = std::time::Duration::from_secs(3);
        options.lag.requests = 4;
        options.first_name_is_taken = true;
    });
    let first = account.sky.first();
    account.has_one();
    assert!(
        account.standin.count("POST /v1/apps") >= 2,
        "another name was tried"
    );
    first.skypipe(&["-w", "sky"]).fed("bytes").success();
    first.skypipe(&["-r", "sky"]).done().printed("bytes");
    let ended = account.sky.skypipe(&first, &["--reset", "--yes"]).done();
    assert_eq!(ended.code, Some(0), "{ended}");
    let busy = |status| {
        account
            .standin
            .requests()
            .iter()
            .any(|entry| entry.status == status)
    };
    assert!(
        busy(429) && busy(422),
        "the platform was as slow as it can be"
    );
    assert_eq!(account.standin.leftovers(), Leftovers::default());
    account.is_correct();
}

#[test]
fn a_region_without_room_is_told_and_another_one_goes_on() {
    if !parts::are_there() {
        return;
    }
    let account = Account::new(|_| {});
    account.standin.full_for_machines("fra", true);
    let home = machine();
    let full = account.sky.setup(&home, &[]).done();
    fails(&full, &["insufficient", "--region", "request"]);
    let outcome = account.sky.setup(&home, &["--region", "ams"]).done();
    account.sky.assert_ready(&outcome, "first");
    let machines = account.standin.machines();
    assert_eq!((machines.len(), machines[0].region.as_str()), (1, "ams"));
    let left = account.standin.leftovers();
    assert_eq!(left.apps.len(), 1, "{left:?}");
    account.is_correct();
    let ended = account.sky.skypipe(&home, &["--reset", "--yes"]).done();
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(account.standin.leftovers(), Leftovers::default());
}

#[test]
fn an_expired_token_is_told_and_nothing_is_made() {
    if !parts::are_there() {
        return;
    }
    let mut account = Account::new(|_| {});
    account.standin.expire_token(true);
    let home = machine();
    let expired = account.sky.setup(&home, &[]).done();
    fails(&expired, &["token", "fly"]);
    assert_eq!(account.standin.leftovers(), Leftovers::default());
    account.standin.expire_token(false);
    account.set("FLY_API_TOKEN", "fm2_another");
    fails(&account.sky.setup(&home, &[]).done(), &["token"]);
    account.set("FLY_API_TOKEN", TOKEN);
    let outcome = account.sky.setup(&home, &[]).done();
    account.sky.assert_ready(&outcome, "first");
    account.has_one();
}

#[test]
fn without_a_token_it_is_said_where_one_is_looked_for() {
    if !parts::are_there() {
        return;
    }
    let mut account = Account::new(|_| {});
    account.set("FLY_API_TOKEN", "");
    let outcome = account.sky.setup(&machine(), &[]).done();
    assert_eq!(outcome.code, Some(2), "{outcome}");
    assert!(outcome.stderr.contains("FLY_API_TOKEN"), "{outcome}");
    assert_eq!(account.standin.requests().len(), 0, "nobody was asked");
}

/// The platform stops the machine of a trial. The next set-up starts it, with all its data.
#[test]
fn a_machine_that_the_platform_stopped_is_started_again() {
    if !parts::are_there() {
        return;
    }
    let account = Account::new(|options| {
        options.trial = Some(std::time::Duration::from_secs(20));
    });
    let first = account.sky.first();
    first.skypipe(&["-w", "files"]).fed("kept").success();
    let is_stopped = || account.standin.machines()[0].state == "stopped";
    let patience = std::time::Duration::from_secs(40);
    assert!(
        wait::holds_within(patience, is_stopped),
        "the trial is over"
    );
    let check = first.skypipe(&["--check"]).done();
    assert_eq!(check.code, Some(4), "{check}");
    assert!(check.stderr.contains("skypipe --setup"), "{check}");
    let again = account.sky.skypipe(&first, &["--setup"]).done();
    account.sky.assert_ready(&again, "first");
    first.skypipe(&["-r", "files"]).done().printed("kept");
    account.has_one();
}

/// The program is killed during each step that creates something. The next set-up continues.
#[test]
fn a_launch_that_was_killed_is_gone_on_with() {
    if !parts::are_there() {
        return;
    }
    let steps = [
        "POST /v1/apps",
        "POST /v1/apps/*/volumes",
        "POST /v1/apps/*/ip_assignments",
        "POST /v1/apps/*/machines",
    ];
    for step in steps {
        let account = Account::new(|_| {});
        let home = machine();
        let launching = account.sky.setup(&home, &[]).start();
        let is_done = || account.standin.done(step) == 1;
        wait::until(step, is_done);
        launching.signal(Signal::KILL);
        assert_eq!(launching.outcome().code, Some(137), "{step}");
        let outcome = account.sky.setup(&home, &[]).done();
        account.sky.assert_ready(&outcome, "first");
        account.has_one();
        home.skypipe(&["-w", "sky"]).fed(step).success();
        home.skypipe(&["-r", "sky"]).done().printed(step);
    }
}

/// A lost answer is no failure, whether or not the request took effect.
#[test]
fn a_lost_answer_makes_nothing_twice() {
    if !parts::are_there() {
        return;
    }
    let steps = [
        "apps",
        "apps/*/volumes",
        "apps/*/ip_assignments",
        "apps/*/machines",
    ];
    let ways = [
        How::CutAfter,
        How::After(500),
        How::CutBefore,
        How::CutAfter,
        How::After(500),
    ];
    for shift in 0..2 {
        let account = Account::new(|_| {});
        for (step, how) in steps.iter().zip(&ways[shift..]) {
            account.standin.fault(&format!("POST /v1/{step}"), 1, *how);
        }
        account.sky.first();
        assert_eq!(
            account.standin.faults_left(),
            0,
            "each of them has come about"
        );
        account.has_one();
    }
}

/// A public IPv4 address costs money. A user who adds `--ipv4` later gets one, and the satellite
/// moves to it.
#[test]
fn an_ipv4_address_can_be_had_later() {
    if !parts::are_there() {
        return;
    }
    let mut account = Account::new(|_| {});
    let first = account.sky.first();
    first.skypipe(&["-w", "files"]).fed("kept").success();
    let outcome = account.sky.setup(&first, &["--ipv4"]).done();
    let addresses = account.standin.leftovers().addresses;
    let ipv4 = addresses
        .iter()
        .find(|address| address.starts_with("127.8."));
    let ipv4 = ipv4.unwrap_or_else(|| panic!("it has one: {addresses:?}, {outcome}"));
    let ipv4 = ipv4.split('/').next().expect("an address");
    account.sky.endpoint = format!("tcp://{ipv4}:9000");
    account.sky.assert_ready(&outcome, "first");
    first.skypipe(&["-r", "files"]).done().printed("kept");
    let line = first.skypipe(&["--invite", "other"]).done();
    let line = String::from_utf8(line.stdout).expect("it is text");
    assert!(line.contains(ipv4), "invitations name it, too");
    account.has_one();
}
