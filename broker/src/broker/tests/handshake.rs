//! Who is admitted, and what happens to invalid messages.

use super::story::{Story, id, listening, opening, reopening};
use crate::protocol::{
    Code, Confirm, Data, Finish, Hello, How, MAGIC, MAX_CHUNK, MAX_COMMAND, Mode, REVISION, Reply,
    Request, encode,
};
use bytes::Bytes;

fn hello(client: &str, revision: u16) -> Request {
    Request::Hello(Hello {
        client: id(client),
        revision,
        program: "skypipe 9.9.9".to_owned(),
    })
}

#[test]
fn a_client_is_welcomed_with_the_limits_that_it_keeps_to() {
    let mut story = Story::new();
    story.say("w", &hello("w", REVISION));
    let Reply::Welcome {
        satellite,
        revision,
        program,
        limits,
        key: None,
    } = story.reply("w")
    else {
        panic!("no welcome");
    };
    assert_eq!((satellite, revision), (id("satellite"), REVISION));
    assert_eq!(program, "skypipe 1.0.0");
    assert_eq!(limits.chunk, MAX_CHUNK as u64);
    assert_eq!(
        (limits.writer_lost_ms, limits.listener_lost_ms),
        (60_000, 10_000)
    );
    assert_eq!(
        limits.heartbeat_ms, 2500,
        "four chances before a listener is lost"
    );
}

#[test]
fn another_revision_is_refused_with_what_to_upgrade() {
    let mut story = Story::new();
    for revision in [0, REVISION + 1, u16::MAX] {
        story.say("w", &hello("w", revision));
        let (code, message) = story.refusal("w");
        assert_eq!(code, Code::Revision);
        assert!(
            message.contains("skypipe 1.0.0") && message.contains("upgrade"),
            "{message}"
        );
    }
    story.say("w", &Request::Ping);
    assert_eq!(story.refusal("w").0, Code::Stranger, "it is refused");
}

#[test]
fn who_has_not_said_hello_is_a_stranger_whatever_it_says() {
    let mut story = Story::new();
    let pipe = || "p".to_owned();
    let requests = [
        Request::Ping,
        Request::Bye,
        opening("s", "p"),
        Request::Credit {
            stream: id("s"),
            requested: 1,
        },
        Request::Finish(Finish {
            stream: id("s"),
            len: 0,
            how: How::End,
        }),
        Request::Close { stream: id("s") },
        listening("l", "p", Mode::Default, None),
        Request::Confirm(Confirm {
            listener: id("l"),
            next_seq: 1,
            window: 1,
        }),
        Request::Leave { listener: id("l") },
        Request::Eof {
            pipe: pipe(),
            order: Bytes::new(),
        },
        Request::List { after: None },
        Request::Discard { pipe: pipe() },
        Request::Status,
        Request::Stop { force: true },
    ];
    for request in requests {
        story.say("x", &request);
        assert_eq!(story.refusal("x").0, Code::Stranger, "{request:?}");
    }
    story.write("x", "s", 0, b"text\n");
    assert_eq!(story.refusal("x").0, Code::Stranger);
    assert!(!story.is_stopped);
    assert_eq!(story.broker.used(), 0);
}

#[test]
fn rule_16_on_its_new_connection_a_client_is_the_same_and_on_the_old_one_a_stranger() {
    let mut story = Story::new();
    story.hello("old", "w");
    story.open("old", "s", "p");
    story.hello("new", "w");
    story.say("old", &Request::Ping);
    assert_eq!(story.told("old"), "opened 0, refused: Stranger");
    story.disconnect("old");
    story.say("new", &reopening("s", "p", 0));
    story.write("new", "s", 0, b"text\n");
    assert_eq!(story.told("new"), "opened 0, ack 5");
}

#[test]
fn hello_twice_on_one_connection_changes_nothing() {
    let mut story = Story::new();
    story.meet(&["w"]);
    story.open("w", "s", "p");
    story.say("w", &hello("w", REVISION));
    story.write("w", "s", 0, b"text\n");
    assert_eq!(story.told("w"), "opened 0, welcome, ack 5");
}

#[test]
fn another_client_on_the_same_connection_leaves_the_first_without_one() {
    let mut story = Story::new();
    story.hello("x", "first");
    story.open("x", "s", "p");
    story.hello("x", "second");
    story.write("x", "s", 0, b"not its own\n");
    assert_eq!(story.told("x"), "refused: Denied");
    story.hello("y", "first");
    story.say("y", &reopening("s", "p", 0));
    story.write("y", "s", 0, b"its own\n");
    assert_eq!(story.told("y"), "opened 0, ack 8");
}

#[test]
fn a_satellite_that_has_all_its_clients_refuses_the_next_and_knows_its_own() {
    let mut story = Story::with(|settings| settings.clients = 2);
    story.meet(&["a", "b"]);
    story.say("c", &hello("c", REVISION));
    assert_eq!(story.refusal("c").0, Code::Limit);
    story.send("d", &[b"SKYPIPE/0.1", b"HELLO"]);
    assert_eq!(
        story.old_told("d"),
        "",
        "the old protocol has no way to say so"
    );
    story.hello("elsewhere", "a");
    story.say("b", &Request::Bye);
    story.hello("c", "c");
}

#[test]
fn one_client_is_not_1_clients() {
    let mut story = Story::with(|settings| settings.clients = 1);
    story.meet(&["a"]);
    story.say("b", &hello("b", REVISION));
    let (_, message) = story.refusal("b");
    assert!(message.ends_with("at most 1 client at a time"), "{message}");
}

#[test]
fn uuids_of_the_satellites_own_making_are_refused() {
    let mut story = Story::new();
    story.say("x", &hello("skypipe0", REVISION));
    assert_eq!(story.refusal("x").0, Code::Malformed);
    story.meet(&["w"]);
    story.open("w", "skypipe0abc", "p");
    story.listen("w", "skypipe0xyz", "p", Mode::Default);
    assert_eq!(story.told("w"), "refused: Malformed, refused: Malformed");
}

#[test]
fn one_uuid_is_not_a_stream_and_a_listener() {
    let mut story = Story::new();
    story.meet(&["w"]);
    story.open("w", "same", "p");
    story.listen("w", "same", "p", Mode::Default);
    story.listen("w", "other", "p", Mode::Follow);
    story.open("w", "other", "p");
    let expected = "opened 0, refused: Malformed, listening, refused: Malformed";
    assert_eq!(story.told("w"), expected);
}

#[test]
fn what_is_no_message_of_this_protocol_is_ignored() {
    let mut story = Story::new();
    let ping = encode(&Request::Ping);
    let strange: [&[&[u8]]; 6] = [
        &[],
        &[b""],
        &[b"GET / HTTP/1.1"],
        &[b"SKYPIPE/2", &ping],
        &[b"SKYPIPE/1\0", &ping],
        &[b"SKYPIPE/0.2", b"HELLO"],
    ];
    for frames in strange {
        story.send("x", frames);
        assert_eq!(story.told("x"), "", "{frames:?}");
    }
}

#[test]
fn a_message_that_cannot_be_understood_is_refused_and_nothing_comes_of_it() {
    let mut story = Story::new();
    story.meet(&["w"]);
    let (ping, open) = (encode(&Request::Ping), encode(&opening("s", "p")));
    let (long, deep) = (vec![0x90; MAX_COMMAND + 1], vec![0x91; MAX_COMMAND]);
    let strange: [&[&[u8]]; 9] = [
        &[MAGIC],
        &[MAGIC, b""],
        &[MAGIC, b"\xc1"],
        &[MAGIC, &open[..open.len() - 1]],
        &[MAGIC, &long],
        &[MAGIC, &deep],
        &[MAGIC, &ping, b"a payload where none belongs"],
        &[MAGIC, &ping, b"", b""],
        &[MAGIC, &ping, b"", b"", b""],
    ];
    for frames in strange {
        story.send("w", frames);
        assert_eq!(
            story.refusal("w").0,
            Code::Malformed,
            "{:?}",
            frames.get(1).map(|f| f.len())
        );
    }
    story.say(
        "w",
        &Request::Data(Data {
            stream: id("s"),
            at: 0,
            tail: 0,
            requested: 0,
        }),
    );
    assert_eq!(
        story.refusal("w").0,
        Code::Malformed,
        "data without a payload"
    );
    story.say("w", &Request::List { after: None });
    assert!(matches!(story.reply("w"), Reply::Pipes { pipes, .. } if pipes.is_empty()));
}

#[test]
fn a_0_1_peer_that_turns_to_the_new_protocol_leaves_nothing_behind() {
    let mut story = Story::new();
    story.send("x", &[b"SKYPIPE/0.1", b"LISTEN", b"p"]);
    story.send("x", &[b"SKYPIPE/0.1", b"DATA", b"q", b"begun"]);
    story.hello("x", "new");
    story.disconnect("x");
    story.meet(&["w", "r"]);
    story.store("w", "s", "p", "text\n");
    story.listen("r", "l", "p", Mode::Default);
    assert_eq!(story.drain("r", "l"), "listening, text/, end, done, closed");
    story.listen("r", "m", "q", Mode::Default);
    let told = story.drain("r", "m");
    assert!(told.starts_with("listening, begun, cut ("), "{told}");
}

#[test]
fn a_0_1_peer_is_a_stranger_to_the_new_protocol() {
    let mut story = Story::new();
    story.send("x", &[b"SKYPIPE/0.1", b"LISTEN", b"p"]);
    story.say("x", &Request::Ping);
    story.open("x", "s", "p");
    assert_eq!(story.told("x"), "refused: Stranger, refused: Stranger");
}

#[test]
fn a_new_client_that_turns_to_the_old_protocol_is_not_heard() {
    let mut story = Story::new();
    story.meet(&["x"]);
    story.send("x", &[b"SKYPIPE/0.1", b"HELLO"]);
    story.send("x", &[b"SKYPIPE/0.1", b"DATA", b"p", b"bytes"]);
    assert_eq!(story.old_told("x"), "");
    assert_eq!(story.broker.used(), 0);
}
