//! Launches and upgrades that break off after each of their commands.

use crate::common::launch::Launch as _;
use skypipe::provision::{Host, State};

use crate::common::parts;
use crate::docker::cut::{Broken, Cut};
use crate::docker::engine::Engine;
use crate::docker::program::Programs;
use crate::docker::quiet::Quiet;
use crate::docker::{docker, find, launch, listens, owner, plan};

#[test]
fn an_upgrade_killed_at_any_step_is_put_right_by_the_next() {
    if !parts::are_there() {
        return;
    }
    upgrades_with(Cut::ForGood, 0, 1);
}

#[test]
fn an_upgrade_that_loses_any_one_answer_ends_well() {
    if !parts::are_there() {
        return;
    }
    upgrades_with(Cut::Once, 1, 2);
}

/// Upgrades back and forth between two programs. Each time it breaks off `step` commands
/// later, until an upgrade needs no more commands than that. After each cut, the next launch must
/// repair everything.
fn upgrades_with(how: Cut, first: usize, step: usize) {
    let engine = Engine::start();
    let programs = Programs::get();
    let plans = [
        plan(&programs.first, "1.0.0"),
        plan(&programs.second, "1.1.0"),
    ];
    let mut docker = docker(&engine.command());
    let mut found = launch(&mut docker, &plans[0]).expect("it can be launched");
    engine.mark();
    let mut cuts = first;
    loop {
        let wanted = &plans[(cuts / step + 1) % 2];
        let broken = Broken::make(&engine, how, cuts);
        let result = crate::docker::docker(broken.path()).launch(wanted, Some(&found), &mut Quiet);
        let after =
            find(&mut docker).unwrap_or_else(|| panic!("after {cuts} commands nothing is found"));
        assert_eq!(after.owner, Some(owner('A')), "after {cuts} commands");
        found = launch(&mut docker, wanted)
            .unwrap_or_else(|failure| panic!("after {cuts} commands and {result:?}: {failure}"));
        assert_eq!(found.state, State::Running);
        assert_eq!(
            find(&mut docker).as_ref(),
            Some(&found),
            "after {cuts} commands"
        );
        assert_eq!(engine.count(), 1, "after {cuts} commands");
        assert_eq!(engine.images().lines().count(), 1, "after {cuts} commands");
        assert!(engine.is_marked(), "after {cuts} commands");
        docker.exec(&found, &["--check"]).expect("it works");
        if !broken.was_cut() {
            break;
        }
        cuts += step;
    }
    assert!(cuts > 5 * step, "an upgrade has more steps than {cuts}");
}

#[test]
fn a_first_launch_killed_at_any_step_is_gone_on_with_or_ended() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let plan = plan(&programs.first, "1.0.0");
    let mut docker = docker(&engine.command());
    for cuts in 0.. {
        let broken = Broken::make(&engine, Cut::ForGood, cuts);
        let result = crate::docker::docker(broken.path()).launch(&plan, None, &mut Quiet);
        if !broken.was_cut() {
            assert!(cuts > 4, "a launch has more steps than {cuts}");
            break;
        }
        let Some(found) = find(&mut docker) else {
            assert_eq!(engine.left(), "", "after {cuts} commands");
            continue;
        };
        // In half of the cases a launch continues before the satellite is destroyed.
        if cuts % 2 == 0 {
            docker
                .launch(&plan, Some(&found), &mut Quiet)
                .unwrap_or_else(|failure| {
                    panic!("after {cuts} commands and {result:?}: {failure}")
                });
            assert!(listens(9000));
        }
        docker.remove(&found, &mut Quiet).expect("it can be ended");
        assert_eq!(engine.left(), "", "after {cuts} commands");
    }
}
