//! How libzmq is built: version 4.3.5 with its draft calls and a record layer, all from source, by cargo
//! alone.
//!
//! `zmq-sys` 0.12 builds libzmq 4.3.4 through `zeromq-src` 0.2. This crate stands in for that one by a
//! `[patch.crates-io]` of the workspace, and offers the three calls that zmq-sys's build script makes. The
//! source is that of the current `zeromq-src`; which files are compiled, and with what, is decided here. It
//! holds no code of libzmq but our changes to it, and nothing but that build script uses it.
//!
//! Differences to the build of `zeromq-src`:
//!
//! - `patches` has the stream engine read and write through a record layer, if a socket is told of one
//!   (`record_layer.hpp`): that is how TLS gets below ZMTP (`skypipe_transport::tls`). libzmq is MPL-2.0: the
//!   changed files are its source with these patches.
//! - `ipc_connecter.cpp.patch` lets a socket connect over a stream that was made elsewhere (`ZMQ_USE_FD`),
//!   such as one through a proxy.
//! - `config.hpp.patch` lets each connection's queues allocate in smaller parts, as a connection keeps up to
//!   four of them while nothing is under way: 8 KiB instead of 64 (`benches/growth` measures it).
//! - `poller_base.cpp.patch` has a timer canceled without looking at all of them. Each heartbeat of a
//!   connection cancels one.
//! - `borrowing.cpp` and `epoll.{cpp,hpp}.patch` let a thread that uses a socket do the I/O thread's work
//!   itself, for as long as it likes (`skypipe_transport::borrowing`): a line's way wakes three threads instead
//!   of nine. They also tell epoll of a change only if it lasts until somebody waits.
//! - `signaler.{cpp,hpp}.patch` has a look into an empty mailbox take no system call, and
//!   `stream_engine_base.cpp.patch` has none taken for a descriptor to become writable that already is.
//! - What a peer may do with bytes alone, and what a machine without descriptors may do, is held by these;
//!   the tests are in `broker/transport/src/frame/hostile`, and a fuzzer of all of it is in
//!   `tests/it/peers/hostile/fuzz.rs`:
//!   - `router.cpp.patch` calls each peer by a name of the ROUTER's own. The name that a peer gives itself is
//!     read and forgotten: one that was taken already was never served, and one that was about to be given to
//!     somebody else ended the program by an assertion. (libzmq draws the first such name from a `rand` that
//!     may be unseeded. That is harmless: no name is a secret, and none can be chosen.)
//!   - `mechanism.cpp.patch` keeps nothing of what a peer's handshake says of it. Hundreds of short
//!     properties cost far more than their bytes, and one called `User-Id` would be taken for the record
//!     layer's word. A DEALER speaks to a ROUTER and to nobody else: a TCP connection that comes upon itself
//!     ends at once.
//!   - `session_base.{cpp,hpp}.patch` ends a connection whose message has more than five frames, or more
//!     bytes than one frame of the greatest length and 66 KiB: libzmq keeps an unfinished message without
//!     any limit, as its queue counts whole messages. Commands are never handed to a socket that is no
//!     publisher.
//!   - `v2_decoder.{cpp,hpp}.patch` and `v1_decoder.{cpp,hpp}.patch` end a connection whose first frame, or
//!     any command, is longer than 4 KiB (`config.hpp.patch`), before there is memory for it. The protocols
//!     of before ZMTP 3 stay, as the original clients speak them.
//!   - `credit.hpp` lets a ROUTER take a large frame only from a connection that was given credit for it.
//!     libzmq allocates a frame as soon as its length is there: each of a thousand strangers could have a
//!     megabyte reserved, and never send it. Without credit the bytes are dropped while they are read, and
//!     the frame arrives empty. A session has the counter and its decoder takes from it. The application
//!     adds to it by the socket's end of the pipe (`pipe.{cpp,hpp}.patch`, `router.{cpp,hpp}.patch`).
//!   - `zmtp_engine.cpp.patch` ends a connection after a malformed command: a PING that was too short was
//!     answered with what lay behind it in memory. It and `stream_engine_base.{cpp,hpp}.patch` no longer
//!     assert what is up to a peer: that a routing id can be passed on while the socket is being closed, and
//!     that nothing is to be sent over a connection that broke while its last messages wait for room in a
//!     queue.
//!   - `stream_listener_base.{cpp,hpp}.patch`, `tcp_listener.cpp.patch` and `ipc_listener.cpp.patch` let a
//!     listener without descriptors or memory pause for a tenth of a second. It ended the program over ipc,
//!     and took all of a processor over tcp. An accepted connection that cannot be used is closed.
//!   - `tcp.cpp.patch`, `ip.cpp.patch`, `tcp_connecter.cpp.patch` and `ipc_connecter.cpp.patch` take whatever
//!     the network or a lack of memory brings for an error of one connection. Only a descriptor or a pointer
//!     that is wrong ends the program.
//!   - `pipe.cpp.patch` has a later fix of libzmq's own: nothing is sent to the other end of a pipe that is
//!     ending.
//! - On Linux, threads wake each other through an eventfd instead of a socket pair: a line's way takes a
//!   tenth less time.
//! - The transports and mechanisms that skypipe does not speak (WebSocket, CURVE and others) are left out, so
//!   that no stranger reaches them.
//!
//! Each change has a test that fails without it. This was tried, change by change. The tests are in
//! `skypipe_transport`: `frame::hostile` (h), `frame::hostile::credit` (c), `frame::hostile::machine` (m) and
//! `borrowing::tests` (b). Where several fail, one is named.
//!
//! - `record_layer`: reading, `wants_flush`: `whose_key_is_known_gets_through` (`broker/tests/server.rs`)
//! - `record_layer`: reading ahead: b `what_a_record_layer_has_read_ahead_comes_as_well`
//! - `record_layer`: flushing first: b `the_last_of_what_a_record_layer_has_sealed_leaves_as_well`
//! - `record_layer`: the name, closing: b `a_connection_that_has_ended_keeps_nothing_of_its_record_layer`
//! - `ipc_connecter`: `ZMQ_USE_FD`: m `what_cannot_be_written_ends_nothing_else`
//! - `ipc_connecter`: errors: m `a_stream_to_connect_over_may_have_ended_twice`
//! - `epoll`, `borrowing`: waking: b `the_work_of_a_thread_that_waits_for_nothing_can_be_borrowed`
//! - `epoll`, `borrowing`: giving back:
//!   b `nothing_moves_but_in_a_turn_and_by_itself_when_the_work_is_given_back`
//! - `epoll`: 32 events a turn: b `a_turn_serves_a_few_connections_and_the_next_one_serves_others`
//! - `signaler`: m `a_look_into_an_empty_socket_takes_no_system_call`
//! - `stream_engine_base`: writable: b `a_message_leaves_in_one_turn_and_leaves_nothing_to_do`
//! - `stream_engine_base`: heartbeats: h `no_sign_of_life_is_asked_of_a_connection_that_has_broken`
//! - `stream_engine_base`, `zmtp_engine`: commands: h `a_malformed_command_ends_its_connection`
//! - `zmtp_engine`: a PING read late: h `a_ping_that_waits_behind_a_full_queue_may_outlive_its_connection`
//! - `zmtp_engine`: one frame, no command: h `a_name_is_one_frame_and_no_command_or_ends_its_connection`
//! - `zmtp_engine`: a closing socket: h `a_router_may_be_closed_while_names_arrive`
//! - `router`: own names: h `whatever_name_a_peer_gives_itself_it_is_called_otherwise_and_served`
//! - `router`: names given away: h `a_name_that_the_router_has_given_away_is_given_to_nobody_else`
//! - `mechanism`: routing ids: h `a_long_name_takes_no_memory`
//! - `mechanism`: properties: h `nothing_that_a_peer_says_of_itself_is_believed`
//! - `mechanism`: socket types: h `a_client_speaks_to_no_client`
//! - `session_base`: commands: h `a_subscription_is_no_message`
//! - `session_base`: frames: h `a_message_of_too_many_frames_ends_its_connection`
//! - `session_base`: bytes: h `a_message_that_does_not_end_takes_no_more_room_than_one_that_does`
//! - `session_base`: a new count: h `a_client_that_connects_again_counts_frames_anew`
//! - `v1_decoder`, `v2_decoder`: first frames: h `a_first_frame_is_small_or_ends_its_connection`
//! - `v2_decoder`: commands: h `a_command_is_short_or_ends_its_connection`
//! - `credit`: dropping: c `without_credit_a_long_frame_arrives_empty_and_its_connection_goes_on`
//! - `credit`: giving: c `with_credit_a_long_frame_arrives_whole_and_uses_it_up`
//! - `credit`: `v1_decoder`, one byte: c `a_length_of_one_byte_needs_credit_too`
//! - listeners: pauses, `ipc_listener`:
//!   m `without_descriptors_who_is_there_is_served_and_others_wait_in_peace`
//! - listeners: a pause's end: m `a_listener_that_waits_for_descriptors_may_be_closed`
//! - `tcp_listener`: errors: m `a_listener_that_can_accept_nobody_ends_nothing_else`
//! - `tcp_listener`: closing: m `a_connection_that_cannot_be_set_up_is_closed`
//! - `tcp`: errors: m `what_cannot_be_written_ends_nothing_else`
//! - `pipe`: ends: h `a_limit_may_be_set_while_a_connection_ends`
//!
//! No test can bring these about, and the reasons are these:
//!
//! - `tcp.cpp`, `ENOMEM` and `ENOBUFS` while reading or writing: the kernel itself has to lack memory.
//! - `tcp_connecter.cpp`, `ENOPROTOOPT`: somebody on the way has to answer with an ICMP message that only
//!   root can send.
//! - `ip.cpp`: a call has to fail on a connection that has an error of its own. On Linux the call in
//!   question, `TCP_NODELAY`, never does; on macOS it does once the connection was reset.
//! - `pipe.cpp`, `send_stats_to_peer`: nobody calls `zmq_socket_monitor_pipes_stats`.
//! - `poller_base.cpp`, and of `epoll.cpp` that a change is told of late or not at all: only time is saved.
//!   `benches/peers` measures what a line takes.
//! - `config.hpp`, the size of the queues' parts: `benches/growth` measures it.
//!
//! All changes of libzmq after 4.3.5 were looked at, up to commit 6b708e4a of July 2026. Those that reach a
//! DEALER, a ROUTER or a PAIR over `tcp`, `ipc` or `inproc` are these:
//!
//! - 959a1335 is in `pipe.cpp.patch`.
//! - acef50b8 is left out. It sets a field of a pipe to NULL right before the pipe is freed, which helps
//!   nobody who comes later.
//! - 9d319655 is left out. It makes a TCP connection with itself again; our clients do that themselves.
//! - ce17349f gives a field its first value that only `ZMQ_RECONNECT_STOP_AFTER_DISCONNECT` looks at, and
//!   95caddb9 has a message of exactly 33 bytes copied instead of shared. Neither changes anything here.
//!
//! The rest is about GSSAPI, UDP, WebSocket, VSOCK, VMCI, NORM, `zmq_proxy_steerable`, Windows and other
//! systems, builds, documents, or new calls. The fixes of memory errors among it (af11df08, 3be093c2 and
//! e357cd32 of July 2026, all of the UDP engine) are for RADIO, DISH and DGRAM sockets, which nobody makes
//! here. libzmq's published vulnerabilities that are known to us (CVE-2014-7202, -7203, -9721, CVE-2019-6250,
//! CVE-2019-13132, CVE-2020-15166, CVE-2020-36400, CVE-2021-20234 to -20237) are older than 4.3.5, which has
//! their fixes.
//!
//! The draft calls are those that libzmq's authors do not promise to keep. Two are needed, both in
//! `skypipe_transport::frame`: a ROUTER's notice that a peer has gone (`ZMQ_ROUTER_NOTIFY`), and the
//! question whether one is still there (`zmq_socket_get_peer_state`). As the version is fixed here,
//! they cannot go away unnoticed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{env, process};

/// What libzmq is told of every system.
const EVERYWHERE: [&str; 6] = [
    "ZMQ_BUILD_DRAFT_API",
    "ZMQ_STATIC",
    "ZMQ_USE_CV_IMPL_STL11",
    "ZMQ_HAVE_IPC",
    "ZMQ_HAVE_STRUCT_SOCKADDR_UN",
    "ZMQ_HAVE_UIO",
];

/// What it is told of Linux; it knows by itself what there is on other systems.
const LINUX: [&str; 6] = [
    "ZMQ_HAVE_LINUX",
    "ZMQ_HAVE_EVENTFD",
    "ZMQ_HAVE_EVENTFD_CLOEXEC",
    "ZMQ_HAVE_SOCK_CLOEXEC",
    "ZMQ_IOTHREAD_POLLER_USE_EPOLL",
    "ZMQ_POLL_BASED_ON_POLL",
];
const BSD: [&str; 2] = ["ZMQ_IOTHREAD_POLLER_USE_KQUEUE", "ZMQ_POLL_BASED_ON_POLL"];

/// A build of libzmq, as zmq-sys's build script asks for it.
#[derive(Debug, Default)]
pub struct Build;

impl Build {
    /// A build with the draft calls and a record layer.
    #[must_use]
    pub fn new() -> Self {
        Self
    }

    /// Takes zmq-sys's choice of a libsodium, of which there is none.
    #[must_use]
    pub fn with_libsodium(&mut self, _none: Option<()>) -> &mut Self {
        self
    }

    /// Builds libzmq and prints what cargo needs to link it.
    ///
    /// # Panics
    ///
    /// When the C++ compiler fails; cargo then shows its output.
    pub fn build(&mut self) {
        let source = Path::new(env!("LIBZMQ_SOURCE"));
        let out = PathBuf::from(variable("OUT_DIR"));
        let place = out.join("libzmq");
        copy(&source.join("src"), &place);
        change(&place);
        // All that it would say is said below.
        fs::write(place.join("platform.hpp"), "").expect("cargo's directory can be written");
        let mut build = cc::Build::new();
        build.cpp(true).std("c++11").warnings(false);
        build.include(source.join("include"));
        for name in defines() {
            build.define(name, "1");
        }
        build.files(files(&place));
        build.compile("zmq");
        println!("cargo:include={}", source.join("include").display());
    }
}

/// Copies the files of a directory.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("cargo's directory can be written");
    for entry in fs::read_dir(from).expect("the source is there") {
        let path = entry.expect("it can be listed").path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            let text = fs::read(&path).expect("it can be read");
            fs::write(to.join(name), text).expect("there is room");
        }
    }
}

/// Changes libzmq's source as `patches` has it: applies each patch, and adds each other file.
fn change(place: &Path) {
    let changes = Path::new(env!("CARGO_MANIFEST_DIR")).join("patches");
    println!("cargo:rerun-if-changed={}", changes.display());
    for entry in fs::read_dir(&changes).expect("they are beside this crate") {
        let path = entry.expect("it can be listed").path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.expect("patches have plain names");
        let text = fs::read_to_string(&path).expect("it is text");
        match name.strip_suffix(".patch") {
            Some(file) => patch(&place.join(file), &text),
            None => fs::write(place.join(name), text).expect("there is room"),
        }
    }
}

fn patch(target: &Path, change: &str) {
    let before = fs::read_to_string(target).expect("libzmq has this file");
    let change = diffy::Patch::from_str(change).expect("it is a patch of one file");
    let after = diffy::apply(&before, &change).expect("it is a patch for this version");
    fs::write(target, after).expect("there is room");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

fn defines() -> Vec<&'static str> {
    let system = variable("CARGO_CFG_TARGET_OS");
    let is_linux = system == "linux";
    let mut names = EVERYWHERE.to_vec();
    names.extend(if is_linux { &LINUX[..] } else { &BSD[..] });
    if !is_linux || variable("CARGO_CFG_TARGET_ENV") == "musl" || has_strlcpy() {
        names.push("ZMQ_HAVE_STRLCPY");
    }
    names.push("HAVE_STRNLEN");
    names
}

/// Whether this C library has `strlcpy`; glibc does from 2.38 on.
fn has_strlcpy() -> bool {
    let mut compiler = cc::Build::new().get_compiler().to_command();
    compiler.args([
        "-x",
        "c",
        "-fsyntax-only",
        "-Werror=implicit-function-declaration",
        "-",
    ]);
    compiler.stdin(Stdio::piped()).stderr(Stdio::null());
    let text =
        "#define _GNU_SOURCE 1\n#include <string.h>\nvoid *it(void) { return (void *)strlcpy; }\n";
    says_yes(compiler, text)
}

fn says_yes(mut command: process::Command, text: &str) -> bool {
    let mut child = command.spawn().expect("there is a C compiler");
    let stdin = child.stdin.take().expect("it has been asked for");
    std::io::Write::write_all(&mut { stdin }, text.as_bytes()).expect("the compiler reads");
    child.wait().expect("it ends").success()
}

/// All of libzmq but what speaks through a library that is not here.
fn files(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).expect("the source is there");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let is_wanted = |path: &PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str());
        let is_other = |name: &str| name.starts_with("wss_") || name.starts_with("ws_");
        path.extension().is_some_and(|kind| kind == "cpp") && !name.is_some_and(is_other)
    };
    let mut files: Vec<_> = paths.filter(is_wanted).collect();
    files.sort();
    files
}
