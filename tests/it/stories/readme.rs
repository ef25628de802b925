//! The examples in `README.md` and `docs/recipes.md`, other than those of the first README (`seed`) and the
//! queue (`queue`).

use std::fs;
use std::path::Path;

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
    sky.put("backup", crate::stories::text(2_000_000));
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

#[test]
fn the_picture_is_what_a_run_looks_like() {
    let home = Environment::here();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/picture");
    let script = format!("sh '{}' .", docs.join("draw.sh").display());
    home.shell(&script).done().printed("");
    for name in ["light.svg", "dark.svg"] {
        let kept = fs::read(docs.join(name)).expect("the picture is there");
        assert!(
            home.get(name) == kept,
            "{name} is not what docs/picture/draw.sh draws"
        );
    }
}

#[test]
fn every_link_in_the_docs_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).expect("there are docs");
    let docs = docs.map(|entry| entry.expect("it can be listed").path());
    let pages = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    for page in pages.chain([root.join("README.md"), root.join("CHANGELOG.md")]) {
        let text = fs::read_to_string(&page).expect("it is text");
        let links = text.split("](").skip(1);
        for link in links.filter_map(|rest| rest.split(')').next()) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            if link.contains("://") {
                continue;
            }
            let target = match file {
                "" => page.clone(),
                file => page.parent().expect("it is in a directory").join(file),
            };
            assert!(target.exists(), "{}: {link}", page.display());
            if heading.is_empty() {
                continue;
            }
            let there = fs::read_to_string(&target).expect("it is text");
            let mut headings = there.lines().filter(|line| line.starts_with('#'));
            assert!(
                headings.any(|line| anchor(line) == heading),
                "{}: {link}",
                page.display()
            );
        }
    }
}

/// The anchor of a heading on a page.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().replace(' ', "-")
}

#[test]
fn an_artifact_is_whole_or_not_there() {
    let sky = Environment::sky(&[]);
    let release =
        sky.shell("mkdir dist; echo app > dist/app; skypipe --whole build-42 -- tar -cz dist");
    release.done().printed("");
    let deploy = "mkdir there; skypipe -r --timeout 10m build-42 > dist.tar.gz && tar -xzf dist.tar.gz -C there";
    sky.shell(deploy).done().printed("");
    assert_eq!(sky.get("there/dist/app"), b"app\n");
    let broken =
        sky.shell("skypipe --whole build-43 -- tar -cz dist nowhere 2>/dev/null || echo failed");
    broken.done().success();
    assert!(sky.is_gone("build-43"));
}

#[test]
fn an_aggregated_log_is_rotated_without_losing_a_line() {
    let sky = Environment::sky(&[]);
    let collect = || {
        let collector = sky.shell("skypipe --follow logs >> aggregate").start();
        sky.until_listeners("logs", 1);
        collector
    };
    let collector = collect();
    sky.shell("echo yesterday | skypipe logs")
        .done()
        .printed("");
    sky.until_taken("logs");
    sky.shell("mv aggregate aggregate.1 && skypipe --eof logs")
        .done()
        .printed("");
    collector.outcome().ended_by_eof("");
    sky.shell("echo meanwhile | skypipe logs")
        .done()
        .printed("");
    let _collector = collect();
    sky.until_taken("logs");
    assert_eq!(sky.get("aggregate.1"), b"yesterday\n");
    assert_eq!(sky.get("aggregate"), b"meanwhile\n");
}
