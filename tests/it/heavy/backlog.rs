//! Tests of a pipe with more data than fits into memory.

use crate::heavy::bulk::{Comparison, pour};
use crate::heavy::on_disk::OnDisk;
use crate::heavy::{BUDGET, DEADLINE, MIB, assert_memory};

#[test]
fn rule_11_four_gibibytes_wait_for_their_reader_on_disk() {
    let sky = OnDisk::sky();
    let length = 4096 * MIB;
    let writer = sky.skypipe(&["x"]).piped().patient(DEADLINE).start();
    let poured = pour(writer.take_stdin(), 4, length);
    let written = writer.outcome();
    println!("written in {:?}", written.took);
    written.whatever_it_waited_for().printed("");
    poured.join().expect("no panic").expect("all is read");
    let listed = sky.listed("x");
    assert_eq!((listed.waiting, listed.bytes), (1, length));
    assert_memory(&sky, BUDGET);
    let listener = sky.skypipe(&["x"]).held().patient(DEADLINE).start();
    Comparison::new(listener.take_stdout(), 4).whole(length);
    let read = listener.outcome();
    println!("read in {:?}", read.took);
    read.printed("");
    assert!(sky.is_gone("x"));
    assert_memory(&sky, BUDGET);
}
