//! A satellite that finds a hundred thousand streams on its disk when it starts.

use std::time::Duration;

use skypipe_protocol::{Finish, How, Reply, Request};
use uuid::Uuid;

use crate::common::Environment;
use crate::common::listing::Listed;
use crate::heavy::on_disk::OnDisk;
use crate::peers::new::New;

const PIPES: usize = 10_000;

/// The number of streams in each pipe.
const STREAMS: usize = 10;

/// How many streams are written at once. The answers to so many fit into ZeroMQ's queues. A client
/// that leaves more answers unread counts as gone.
const AT_ONCE: usize = 200;

/// Enough memory for each stream.
const ROOMY: [&str; 4] = ["--data", "data", "--memory", "256MiB"];

/// The processor time that a satellite may need until its first answer. Beside other tests, that takes longer.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// How much memory an unread stream may use, in bytes.
const MEMORY_OF_A_STREAM: u64 = 1 << 10;

/// The most files and sockets that a satellite has open, however much data is unread.
const OPEN_FILES: usize = 40;

fn name(pipe: usize) -> String {
    format!("pipe-{pipe}")
}

fn text(pipe: usize, stream: usize) -> String {
    format!("stream {stream} of pipe {pipe}\n")
}

/// Writes the stream with this number into each of some pipes.
fn write_some(client: &New, first: usize, number: usize) {
    let streams: Vec<_> = (first..first + AT_ONCE)
        .map(|pipe| {
            let (stream, text) = (Uuid::new_v4(), text(pipe, number));
            client.open(stream, &name(pipe));
            client.data(stream, 0, text.as_bytes());
            let len = text.len() as u64;
            client.say(&Request::Finish(Finish {
                stream,
                len,
                how: How::End,
            }));
            stream
        })
        .collect();
    for _ in &streams {
        client.hear_until(|reply| matches!(reply, Reply::Finished { .. }));
    }
    for stream in streams {
        client.say(&Request::Close { stream });
    }
}

/// The processor time of a satellite from its start to its first answer, and that answer.
fn first_answer(sky: &mut Environment) -> (Duration, String) {
    sky.restart_sky(&ROOMY);
    let told = sky.skypipe(&["--check"]).done().success();
    let took = sky.on_port().processor_time();
    (took, String::from_utf8_lossy(&told).into_owned())
}

#[test]
fn rule_16_a_hundred_thousand_streams_are_there_seconds_after_a_kill() {
    let mut sky = OnDisk::sky_with(&ROOMY);
    sky.skypipe(&["--check"]).done().success();
    let empty = sky.on_port().memory();
    let client = New::at(sky.on_port().endpoint());
    for number in 0..STREAMS {
        for first in (0..PIPES).step_by(AT_ONCE) {
            write_some(&client, first, number);
        }
    }
    drop(client);
    drop(sky.take_sky().kill());
    let (took, told) = first_answer(&mut sky);
    println!("the first answer took {took:?} of a processor:\n{told}");
    assert!(told.contains("100000 streams"), "{told}");
    assert!(took < FIRST_ANSWER, "the first answer took {took:?}");
    let memory = sky.on_port().memory().saturating_sub(empty) / (PIPES * STREAMS) as u64;
    let files = sky.on_port().open_files();
    println!("a stream takes {memory} bytes of memory; {files} files are open");
    assert!(memory < MEMORY_OF_A_STREAM, "a stream takes {memory} bytes");
    assert!(files < OPEN_FILES, "{files} files are open");
    let (pipes, streams) = (sky.listing(), STREAMS as u64);
    assert_eq!(pipes.len(), PIPES);
    for (name, listed) in &pipes {
        let bytes = listed.bytes;
        let waits = Listed {
            waiting: streams,
            bytes,
            ..Listed::default()
        };
        assert_eq!(*listed, waits, "{name}");
    }
    for pipe in [0, 4711, PIPES - 1] {
        for number in 0..STREAMS {
            let run = sky.skypipe(&["-r", &name(pipe)]).done();
            run.printed(text(pipe, number));
        }
        assert!(sky.is_gone(&name(pipe)));
    }
}
