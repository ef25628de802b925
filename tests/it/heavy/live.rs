//! Tests of large streams whose satellite keeps its data in memory.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::common::process::Process;
use crate::common::{Environment, wait};
use crate::heavy::bulk::{Comparison, pour};
use crate::heavy::{BUDGET, DEADLINE, MIB, assert_memory};

#[test]
fn rule_12_a_gibibyte_arrives_live_though_its_reader_pauses_for_ten_seconds() {
    let sky = Environment::sky_within(&[], DEADLINE);
    let length = 1024 * MIB;
    let listener = sky.skypipe(&["x"]).held().start();
    sky.until_listeners("x", 1);
    let writer = sky.skypipe(&["x"]).piped().start();
    let poured = pour(writer.take_stdin(), 1, length);
    let mut comparison = Comparison::new(listener.take_stdout(), 1);
    comparison.up_to(length / 2);
    let both = || listener.runs() && writer.runs();
    wait::while_passes(Duration::from_secs(10), "all wait for the reader", both);
    assert!(sky.listed("x").full);
    comparison.whole(length);
    poured.join().expect("no panic").expect("all is read");
    writer.outcome().whatever_it_waited_for().printed("");
    listener.outcome().printed("");
    assert_memory(&sky, BUDGET);
}

#[test]
fn rule_11_a_gibibyte_waits_for_its_reader() {
    let sky = Environment::sky_within(&["--memory", "1100MiB"], DEADLINE);
    let length = 1024 * MIB;
    let writer = sky.skypipe(&["x"]).piped().patient(DEADLINE).start();
    let poured = pour(writer.take_stdin(), 2, length);
    writer.outcome().whatever_it_waited_for().printed("");
    poured.join().expect("no panic").expect("all is read");
    assert_eq!(
        (sky.listed("x").waiting, sky.listed("x").bytes),
        (1, length)
    );
    let listener = sky.skypipe(&["x"]).held().start();
    Comparison::new(listener.take_stdout(), 2).whole(length);
    listener.outcome().printed("");
    assert_eq!(sky.listed("x").waiting, 0);
    assert_memory(&sky, 1100 * MIB);
}

#[test]
fn rule_4_ten_listeners_get_it_all_and_a_dead_one_holds_them_up_no_longer_than_it_is_lost() {
    let lost = Duration::from_secs(3);
    let sky = Environment::sky_within(&["--lost-listener", "3s"], DEADLINE);
    let length = 256 * MIB;
    let start = || sky.skypipe(&["x"]).held().patient(DEADLINE).start();
    let (listeners, dead): (Vec<Process>, _) = ((0..10).map(|_| start()).collect(), start());
    sky.until_listeners("x", 11);
    let readers: Vec<_> = listeners
        .iter()
        .map(|listener| {
            let mut comparison = Comparison::new(listener.take_stdout(), 3);
            thread::spawn(move || {
                comparison.whole(length);
                comparison.longest
            })
        })
        .collect();
    let writer = sky.skypipe(&["x"]).piped().patient(DEADLINE).start();
    let poured = pour(writer.take_stdin(), 3, length);
    let mut public_keys = Comparison::new(dead.take_stdout(), 3);
    public_keys.up_to(length / 2);
    dead.signal(Signal::KILL);
    for reader in readers {
        let longest = reader.join().expect("all is there");
        println!("a listener was held up for {longest:?}");
        assert!(longest < lost + Duration::from_secs(2), "{longest:?}");
    }
    poured.join().expect("no panic").expect("all is read");
    writer.outcome().whatever_it_waited_for().printed("");
    for listener in listeners {
        listener.outcome().printed("");
    }
    sky.until_listeners("x", 0);
    assert_memory(&sky, BUDGET);
}
