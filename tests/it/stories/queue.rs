//! `--one`: a work queue (rule 7).

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::process::Process;
use crate::common::wait;
use crate::stories::text;

#[test]
fn rule_7_workers_share_the_jobs_out_each_to_exactly_one() {
    let sky = Environment::sky(&[]);
    let jobs: Vec<String> = (10..22).map(|number| format!("{number}.job")).collect();
    for job in &jobs {
        sky.put(job, format!("echo {job} >> done\n"));
    }
    // As in the README: a file for each worker.
    let work = "job=$(mktemp)\n\
                while skypipe --one --timeout 1m work > \"$job\"; do sh \"$job\"; done";
    let workers: Vec<_> = (0..3)
        .map(|_| sky.shell(work).var("TMPDIR", sky.home()).start())
        .collect();
    sky.until_listeners("work", 3);
    let hand_out = "for job in *.job; do skypipe -w work < \"$job\"; done";
    sky.shell(hand_out).done().printed("");
    let done = || String::from_utf8(sky.get("done")).expect("it is text");
    wait::until("all is done", || done().lines().count() == jobs.len());
    sky.until_listeners("work", 3);
    let done = done();
    let mut done: Vec<_> = done.lines().collect();
    done.sort_unstable();
    assert_eq!(done, jobs);
    assert!(workers.iter().all(Process::runs));
}

#[test]
fn rule_7_who_waits_for_one_goes_before_those_who_listen() {
    let sky = Environment::sky(&[]);
    let live = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 1);
    let one = sky.skypipe(&["-1", "x"]).start();
    sky.until_listeners("x", 2);
    sky.skypipe(&["x"]).fed("for one").printed("");
    one.outcome().printed("for one");
    assert!(live.runs());
    sky.skypipe(&["x"]).fed("for all").printed("");
    live.outcome().printed("for all");
}

#[test]
fn rule_7_one_takes_no_remainder() {
    let sky = Environment::sky(&[]);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("taken\n");
    let listener = sky.skypipe(&["x"]).start();
    listener.shows("taken\n");
    sky.until_taken("x");
    listener.signal(Signal::TERM);
    assert_eq!(listener.outcome().code, Some(143));
    writer.say("rest\n");
    writer.close_stdin();
    writer.outcome().printed("");
    let one = sky.skypipe(&["--one", "x"]).start();
    sky.until_listeners("x", 1);
    sky.skypipe(&["x"]).fed("whole\n").printed("");
    one.outcome().printed("whole\n");
    let rest = sky.skypipe(&["x"]).done();
    assert_eq!(rest.told(3, "its first 6 bytes"), b"rest\n");
}

#[test]
fn rule_10_the_job_of_a_dead_worker_goes_whole_to_the_next() {
    let sky = Environment::sky(&["--lost-listener", "2s"]);
    let job = text(3_000_000);
    let dead = sky.skypipe(&["--one", "jobs"]).held().start();
    sky.until_listeners("jobs", 1);
    sky.skypipe(&["jobs"]).fed(&job).printed("");
    let next = sky.skypipe(&["--one", "jobs"]).start();
    sky.until_listeners("jobs", 2);
    dead.signal(Signal::KILL);
    next.outcome().printed(&job);
    wait::until("the dead one is forgotten", || sky.is_gone("jobs"));
}

#[test]
fn rule_13_what_one_gets_is_passed_on_byte_for_byte() {
    let sky = Environment::sky(&[]);
    let one = sky.skypipe(&["--one", "x"]).start();
    sky.until_listeners("x", 1);
    sky.skypipe(&["x"]).fed("no newline").printed("");
    one.outcome().printed("no newline");
}
