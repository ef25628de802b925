//! `--one`: a work queue (rule 7).

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::wait;
use crate::text;

#[test]
fn rule_7_workers_share_the_jobs_out_each_to_exactly_one() {
    let sky = Environment::sky(&[]);
    let script = |worker: u32| {
        format!(
            "while skypipe --one --timeout 2s jobs > job && [ -s job ]; do cat job >> done-{worker}; done"
        )
    };
    let workers: Vec<_> = (0..3)
        .map(|worker| {
            let script = script(worker).replace("> job", &format!("> job-{worker}"));
            let script = script.replace("-s job", &format!("-s job-{worker}"));
            let script = script.replace("cat job", &format!("cat job-{worker}"));
            sky.shell(&script).start()
        })
        .collect();
    sky.until_listeners("jobs", 3);
    let jobs: Vec<String> = (0..12).map(|number| format!("job {number}\n")).collect();
    for job in &jobs {
        sky.skypipe(&["jobs"]).fed(job).printed("");
    }
    for _ in &workers {
        sky.skypipe(&["-w", "jobs"]).fed("").printed("");
    }
    for worker in workers {
        worker.outcome().printed("");
    }
    let mut done = Vec::new();
    for worker in 0..3 {
        let text = sky.get(&format!("done-{worker}"));
        let text = String::from_utf8(text).expect("it is text");
        done.extend(text.lines().map(|line| format!("{line}\n")));
    }
    done.sort_by_key(|job| jobs.iter().position(|one| one == job));
    assert_eq!(done, jobs);
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
    let sky = Environment::sky(&["--lost-listener", "1s"]);
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
