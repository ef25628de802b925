//! Tests of what `--setup` decides to do.

use skypipe_protocol::secret::Secret;

use super::enroll::machine;
use super::*;

fn found(version: Option<&str>, state: State) -> Found {
    Found {
        name: "skypipe-abcdefghij".to_owned(),
        version: version.map(str::to_owned),
        owner: Some("owner".to_owned()),
        state,
    }
}

fn asked() -> Setup {
    Setup {
        target: None,
        deploy: Deploy::default(),
        public: None,
    }
}

#[test]
fn a_satellite_that_runs_is_left_alone() {
    let same = found(Some(VERSION), State::Running);
    assert_eq!(task(Some(&same), false), Task::Nothing);
    assert_eq!(task(None, false), Task::Launch);
}

#[test]
fn one_that_is_stopped_older_or_to_be_changed_is_renewed() {
    for there in [
        found(Some(VERSION), State::Stopped),
        found(Some("0.9.12"), State::Running),
        found(None, State::Running),
        found(Some("nonsense"), State::Running),
        found(None, State::Unfinished),
    ] {
        assert_eq!(task(Some(&there), false), Task::Renew, "{there:?}");
    }
    let same = found(Some(VERSION), State::Running);
    assert_eq!(task(Some(&same), true), Task::Renew);
}

#[test]
fn one_that_is_newer_is_never_replaced() {
    for changes in [false, true] {
        for state in [State::Running, State::Stopped, State::Unfinished] {
            let newer = found(Some("99.0.0"), state);
            assert_eq!(task(Some(&newer), changes), Task::Newer);
        }
    }
}

#[test]
fn versions_are_compared_as_numbers() {
    assert!(version("1.10.0") > version("1.9.9"));
    assert_eq!(version("1.2.3-rc.1+build"), Some([1, 2, 3]));
    for nonsense in ["", "1", "1.2", "v1.2.3", "1.2.x", "1..3"] {
        assert_eq!(version(nonsense), None, "{nonsense}");
    }
    assert!(version(VERSION).is_some());
}

#[test]
fn the_owner_of_what_is_there_stays_its_owner() {
    let seed = Seed::new(Secret::from(zeroize::Zeroizing::new([7; 32])));
    let mine = PublicKeys::of(&seed).to_string();
    assert_eq!(plan(&asked(), None, &seed).unwrap().owner, mine);
    let kept = plan(&asked(), Some("owner".to_owned()), &seed).unwrap();
    assert_eq!(kept.owner, "owner");
    assert_eq!((kept.port, kept.public), (None, None));
}

#[test]
fn the_address_of_others_may_have_a_port() {
    let seed = Seed::new(Secret::from(zeroize::Zeroizing::new([7; 32])));
    let with = |public: &str, port| {
        let mut setup = asked();
        setup.public = public.parse().ok();
        setup.deploy.port = port;
        assert!(changes(&setup));
        plan(&setup, None, &seed).map(|plan| (plan.public.unwrap_or_default(), plan.port))
    };
    let told = |host: &str, port| Ok((host.to_owned(), port));
    assert_eq!(with("sky.example.org", None), told("sky.example.org", None));
    assert_eq!(
        with("sky.example.org:9001", None),
        told("sky.example.org", Some(9001))
    );
    assert_eq!(with("[fd00::1]", Some(7)), told("[fd00::1]", Some(7)));
    assert_eq!(with("[fd00::1]:7", Some(7)), told("[fd00::1]", Some(7)));
    assert!(with("sky:1", Some(2)).is_err());
    assert!(!changes(&asked()));
}

#[test]
fn a_machine_has_a_name_that_is_no_flag() {
    let name = machine();
    assert!(!name.is_empty() && !name.starts_with('-') && name.len() <= 60);
}
