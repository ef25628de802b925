//! Hostile clients. Whatever comes, the satellite is the same process afterwards, with its former memory
//! and descriptors, and meanwhile serves an ordinary client at once.

mod clients;
mod crowd;
mod flood;
mod fuzz;
mod garbage;
mod hoard;
mod strangers;
mod watch;

use std::fs;
use std::time::Duration;

use skypipe_protocol::{Confirm, Data, Finish, Hello, How, Listen, Mode, Open, REVISION, Request};
use uuid::Uuid;

use crate::common::Environment;

/// The timeout of each of these tests.
const DEADLINE: Duration = Duration::from_secs(120);

/// The flags of a satellite that stores data on disk, in the test's own directory.
const ON_DISK: [&str; 2] = ["--data", "data"];

/// A satellite that stores data on disk.
fn sky() -> Environment {
    Environment::sky_within(&ON_DISK, DEADLINE)
}

/// One request of each kind, about these streams, listeners and pipes.
fn requests(stream: Uuid, listener: Uuid, pipe: &str) -> Vec<Request> {
    let name = || pipe.to_owned();
    let (resume, wait, window) = (false, false, 1 << 20);
    vec![
        Request::Hello(Hello {
            client: stream,
            revision: REVISION,
            program: name(),
        }),
        Request::Ping,
        Request::Bye,
        Request::Open(Open {
            stream,
            pipe: name(),
            from: 0,
            resume,
            wait,
            whole: false,
            label: name(),
        }),
        Request::Data(Data {
            stream,
            at: 0,
            tail: 0,
            requested: 0,
        }),
        Request::Credit {
            stream,
            requested: 1 << 40,
        },
        Request::Finish(Finish {
            stream,
            len: 0,
            how: How::End,
        }),
        Request::Close { stream },
        Request::Listen(Listen {
            listener,
            pipe: name(),
            mode: Mode::Default,
            window,
            resume: None,
        }),
        Request::Confirm(Confirm {
            listener,
            next_seq: 1,
            window,
        }),
        Request::Leave { listener },
        Request::Eof {
            pipe: name(),
            order: bytes::Bytes::new(),
        },
        Request::List { after: None },
        Request::Discard { pipe: name() },
        Request::Status,
        Request::Stop { force: true },
    ]
}

/// The peak memory of a process, in bytes. 0 if the process has ended.
fn most_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: Option<u64> = line.and_then(|kib| kib.parse().ok());
    kib.unwrap_or(0) << 10
}
