//! What the README shows beside the examples of the first one (`seed`) and the queue (`queue`).

use crate::common::Environment;
use crate::common::wait;

#[test]
fn logs_are_followed_and_watched_without_taking_anything() {
    let home = Environment::here();
    home.put("aggregate", "yesterday\n");
    let follow = home.shell("skypipe --follow logs >> aggregate").start();
    home.until_listeners("logs", 1);
    let watch = home.shell("skypipe --tap logs | grep ERROR").start();
    home.until_listeners("logs", 2);
    home.put("somefile", "all is well\nERROR: not quite\n");
    home.shell("cat somefile | skypipe logs").done().printed("");
    watch.outcome().printed("ERROR: not quite\n");
    home.shell("cat somefile | skypipe logs").done().printed("");
    home.until_taken("logs");
    assert!(follow.runs());
    home.skypipe(&["--eof", "logs"]).done().printed("");
    follow.outcome().ended_by_eof("");
    let twice = "all is well\nERROR: not quite\n".repeat(2);
    assert_eq!(
        home.get("aggregate"),
        format!("yesterday\n{twice}").into_bytes()
    );
}

#[test]
fn rule_5_a_trigger_can_be_fired_without_writing_anything() {
    let home = Environment::here();
    let script = "skypipe trigger && echo \"I was triggered!\"";
    let waiting = home.shell(script).start();
    home.until_listeners("trigger", 1);
    home.skypipe(&["--eof", "trigger"]).done().printed("");
    waiting.outcome().ended_by_eof("I was triggered!\n");
}

#[test]
fn rule_11_a_backup_is_known_to_have_arrived() {
    let sky = Environment::sky(&[]);
    sky.put("backup", crate::text(2_000_000));
    let script = "cat backup | skypipe --wait backups && echo \"somebody has it\"";
    let writer = sky.shell(script).start();
    sky.until_waiting("backups", 1);
    assert!(writer.runs() && writer.shown().is_empty());
    sky.shell("skypipe backups > copy").done().printed("");
    writer.outcome().printed("somebody has it\n");
    assert!(sky.get("copy") == sky.get("backup"));
}

#[test]
fn a_satellite_elsewhere_is_reached_by_its_name_in_the_environment() {
    let home = Environment::here();
    let satellite = home.satellite(&["--insecure"]);
    let script = format!("SATELLITE={} skypipe logs", satellite.endpoint());
    let listener = home.shell(&script).start();
    let there = |arguments: &[&str]| {
        home.skypipe(arguments)
            .var("SATELLITE", satellite.endpoint())
    };
    wait::until("it listens there", || {
        let list = there(&["--list"]).done().success();
        String::from_utf8_lossy(&list).contains("logs")
    });
    assert!(home.is_gone("logs"), "and not here");
    there(&["logs"]).fed("from afar\n").printed("");
    listener.outcome().printed("from afar\n");
    assert!(!home.state().exists(), "nothing was started here");
}
