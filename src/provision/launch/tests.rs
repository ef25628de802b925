//! Tests of the steps of a launch, on a platform that only records them.

use zeroize::Zeroizing;

use super::*;
use crate::provision::Choice;
use crate::provision::image::Architecture;

/// A platform whose `run` and `restore` end as told.
#[derive(Default)]
struct Recorder {
    existing: Existing,
    run: Option<RunError>,
    restore: Option<Failure>,
    steps: Vec<String>,
}

impl Host for Recorder {
    fn find(&mut self, _: &mut dyn Console) -> Result<Option<Found>, Failure> {
        unreachable!("a launch is told what was found")
    }

    fn inspect(&mut self, _: Option<&Found>) -> Result<Existing, Failure> {
        Ok(self.existing.clone())
    }

    fn architecture(&mut self) -> Result<Architecture, Failure> {
        unreachable!("the plans name images")
    }

    fn prepare(&mut self, _: &Settings, _: &mut dyn Console) -> Result<String, Failure> {
        self.steps.push("prepare".to_owned());
        Ok("name".to_owned())
    }

    fn put(&mut self, program: &Program, _: &str, _: &mut dyn Console) -> Result<String, Failure> {
        let Program::Image(name) = program else {
            unreachable!("the plans name images");
        };
        self.steps.push(format!("put {name}"));
        Ok(name.clone())
    }

    fn run(&mut self, settings: &Settings, _: &mut dyn Console) -> Result<(), RunError> {
        let Settings {
            version,
            owner,
            port,
            public,
            program,
        } = settings;
        let public = public.as_deref().unwrap_or("-");
        let step = format!("run {program} {version} {owner} {public}:{port}");
        self.steps.push(step);
        self.run.take().map_or(Ok(()), Err)
    }

    fn restore(&mut self, _: &mut dyn Console) -> Result<(), Failure> {
        self.steps.push("restore".to_owned());
        self.restore.take().map_or(Ok(()), Err)
    }

    fn endpoint(&mut self, _: &Found) -> Result<String, Failure> {
        unreachable!("no launch asks for it")
    }

    fn exec(&mut self, _: &Found, _: &[&str]) -> Result<String, Failure> {
        unreachable!("no launch runs commands")
    }

    fn remove(&mut self, _: &Found, _: &mut dyn Console) -> Result<(), Failure> {
        unreachable!("no launch removes anything")
    }
}

/// Nobody, who answers nothing. Holds what was shown.
#[derive(Default)]
struct Nobody(Vec<String>);

impl Console for Nobody {
    fn begin(&mut self, step: &str) {
        self.0.push(format!("begin {step}"));
    }

    fn done(&mut self, _: &str) {
        self.0.push("done".to_owned());
    }

    fn say(&mut self, _: &str) {
        self.0.push("say".to_owned());
    }

    fn choose(&mut self, _: &str, _: &[Choice], flag: &str) -> Result<usize, Failure> {
        Err(Failure::usage(flag))
    }

    fn text(&mut self, _: &str, flag: &str) -> Result<String, Failure> {
        Err(Failure::usage(flag))
    }

    fn confirm(&mut self, _: &str) -> Result<Option<bool>, Failure> {
        Ok(None)
    }

    fn secret(&mut self, _: &str, instead: &str) -> Result<Zeroizing<String>, Failure> {
        Err(Failure::usage(instead))
    }
}

fn plan() -> Plan {
    Plan {
        version: "2".to_owned(),
        owner: "mine".to_owned(),
        port: None,
        public: None,
        binary: None,
        image: Some("new".to_owned()),
    }
}

/// A satellite of this version.
fn satellite_of(version: &str) -> Existing {
    Existing {
        owner: Some("theirs".to_owned()),
        settings: Some(Settings {
            version: version.to_owned(),
            owner: "theirs".to_owned(),
            port: 9001,
            public: Some("sky".to_owned()),
            program: "old".to_owned(),
        }),
    }
}

fn found() -> Found {
    Found {
        name: "name".to_owned(),
        version: None,
        owner: None,
        state: State::Stopped,
    }
}

fn go(host: &mut Recorder, plan: &Plan) -> Result<Found, Failure> {
    launch(host, plan, Some(&found()), &mut Nobody::default())
}

#[test]
fn what_exists_is_kept_unless_the_plan_says_otherwise() {
    let named = Plan {
        port: Some(9002),
        public: Some("cloud".to_owned()),
        ..plan()
    };
    let nameless = Plan {
        image: None,
        ..plan()
    };
    let cases: [(_, _, &[&str]); 4] = [
        (
            Existing::default(),
            plan(),
            &["put new", "run new 2 mine -:9000"],
        ),
        (
            satellite_of("1"),
            plan(),
            &["put new", "run new 2 theirs sky:9001"],
        ),
        (
            satellite_of("1"),
            named,
            &["put new", "run new 2 theirs cloud:9002"],
        ),
        // The program of the same version stays.
        (satellite_of("2"), nameless, &["run old 2 theirs sky:9001"]),
    ];
    for (existing, plan, steps) in cases {
        let mut host = Recorder {
            existing,
            ..Recorder::default()
        };
        let launched = go(&mut host, &plan).expect("it is launched");
        assert_eq!(host.steps, [&["prepare"], steps].concat());
        assert_eq!(launched.version.as_deref(), Some("2"));
        assert_eq!(launched.state, State::Running);
    }
}

#[test]
fn only_what_was_broken_is_restored() {
    let why = || Failure::failed("it is broken");
    let restored = "it is broken; the former program was put back";
    let twice = "it is broken; the former program could not be put back either: no";
    let cases = [
        (
            Existing::default(),
            RunError::Broken(why()),
            None,
            "it is broken",
        ),
        (
            satellite_of("1"),
            RunError::Refused(why()),
            None,
            "it is broken",
        ),
        (satellite_of("1"), RunError::Broken(why()), None, restored),
        (
            satellite_of("1"),
            RunError::Broken(why()),
            Some(Failure::failed("no")),
            twice,
        ),
    ];
    for (existing, run, restore, sentence) in cases {
        let mut host = Recorder {
            existing,
            run: Some(run),
            restore,
            steps: Vec::new(),
        };
        let failure = go(&mut host, &plan()).expect_err("it does not run");
        assert_eq!(failure.sentence, sentence);
        let was_restored = host.steps.iter().any(|step| step == "restore");
        assert_eq!(was_restored, sentence.contains(';'));
    }
}

/// A step that ended before the failure would be shown as done.
#[test]
fn the_step_that_failed_is_open_at_the_end() {
    for restore in [None, Some(Failure::failed("no"))] {
        let mut host = Recorder {
            existing: satellite_of("1"),
            run: Some(RunError::Broken(Failure::failed("it is broken"))),
            restore,
            steps: Vec::new(),
        };
        let mut console = Nobody::default();
        let failure = launch(&mut host, &plan(), Some(&found()), &mut console);
        failure.expect_err("it does not run");
        assert_eq!(console.0, ["begin start the satellite", "say"]);
    }
}

#[test]
fn a_satellite_that_came_in_between_is_not_taken_over() {
    let mut host = Recorder {
        existing: satellite_of("1"),
        ..Recorder::default()
    };
    let failure =
        launch(&mut host, &plan(), None, &mut Nobody::default()).expect_err("it is another's");
    assert!(
        failure.sentence.contains("another machine has just"),
        "{failure}"
    );
    assert!(host.steps.is_empty());
}

#[test]
fn values_that_fit_in_no_line_are_refused() {
    let of = |change: fn(&mut Plan)| {
        let mut plan = plan();
        change(&mut plan);
        go(&mut Recorder::default(), &plan).map(|_| ())
    };
    assert_eq!(of(|_| ()), Ok(()));
    let bad: [fn(&mut Plan); 5] = [
        |plan| plan.public = Some(String::new()),
        |plan| plan.public = Some("a b".to_owned()),
        |plan| plan.owner = "a\nport=1".to_owned(),
        |plan| plan.version = "a\u{1b}".to_owned(),
        |plan| plan.port = Some(0),
    ];
    for change in bad {
        assert_eq!(of(change).expect_err("it is bad").code, crate::exit::USAGE);
    }
}
