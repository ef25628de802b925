//! A satellite whose every text tries to harm the reader's terminal.

use skypipe_protocol::token::Kind;
use skypipe_protocol::{
    Code, Confirm, Finish, Hello, Holds, How, KeyInfo, Limits, Listen, Open, Outcome as Fate,
    OwnKey, PipeInfo, PublicKey, REVISION, Reply, Request, Rights, Status,
};
use uuid::Uuid;

use crate::common::outcome::Outcome;
use crate::common::process::Process;
use crate::common::terminal::Terminal;
use crate::common::wait;
use crate::enemies::liar::{Liar, own_key};

/// Control characters that clear the screen, go back in the line, start a new line, reverse the writing
/// direction or hide text.
const WORDS: &str = "\u{1b}[2J\u{9b}31m\r\nskypipe: \u{7}\u{61c}\u{200b}\u{200d}\u{200e}\u{2028}\u{202e}\u{2060}\
                     \u{2066}\u{3164}\u{e000}\u{feff}\u{e0041}";

/// Checks the program's whole output, apart from line ends, for control characters, and returns it.
#[track_caller]
fn is_harmless(outcome: &Outcome) -> String {
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    let printed = stdout.clone() + &*outcome.stderr;
    let harms = |c: &char| *c != '\n' && !c.is_ascii_graphic() && *c != ' ';
    let harm: Vec<_> = printed.chars().filter(harms).collect();
    assert!(harm.is_empty(), "{harm:?}: {outcome}");
    let is_own = |line: &str| line.starts_with("skypipe: ");
    assert!(outcome.stderr.lines().all(is_own), "{outcome}");
    printed.into_owned()
}

fn words() -> String {
    WORDS.to_owned()
}

fn welcome() -> Reply {
    Reply::Welcome {
        satellite: Uuid::from_u128(1),
        revision: REVISION,
        program: format!("{WORDS} 0.0.1"),
        limits: Limits {
            chunk: 1 << 20,
            heartbeat_ms: 5000,
            writer_lost_ms: 60_000,
            listener_lost_ms: 60_000,
        },
        key: Some(OwnKey {
            name: words(),
            address: Some("127.0.0.1:9".to_owned()),
            ..own_key(None)
        }),
    }
}

/// The requested answer, with harmful text in every text field.
fn answers(request: &Request) -> Vec<Reply> {
    match request {
        Request::Hello(Hello { .. }) => vec![welcome()],
        Request::Ping => vec![Reply::Pong],
        Request::Open(Open { stream, .. }) => vec![Reply::Opened {
            stream: *stream,
            next: 0,
            limit: 1 << 30,
            rest: false,
        }],
        Request::Finish(Finish { stream, .. }) => vec![Reply::Finished {
            stream: *stream,
            outcome: Fate::Discarded,
        }],
        Request::Listen(Listen { listener, .. }) => performance(*listener),
        Request::Confirm(Confirm { listener, .. }) => vec![Reply::Closed {
            listener: *listener,
        }],
        Request::Eof { .. } => vec![Reply::EofTaken],
        Request::List { .. } => vec![Reply::Pipes {
            pipes: vec![PipeInfo {
                name: words(),
                waiting: 1,
                bytes: 1,
                writers: 1,
                listeners: 1,
                full: true,
            }],
            more: false,
        }],
        Request::Discard { .. } => vec![Reply::Discarded {
            streams: 1,
            bytes: 1,
        }],
        Request::Status => vec![Reply::Status(status())],
        Request::Keys { .. } => vec![Reply::Keys {
            keys: vec![key()],
            more: false,
            epoch: 0,
        }],
        Request::Invite(_) => vec![Reply::Invited { name: words() }],
        Request::Revoke { .. } => vec![Reply::Revoked],
        Request::Keyring(_) | Request::SetPhrase { .. } => vec![Reply::Kept],
        Request::Phrase => vec![Reply::Phrase(None)],
        _ => Vec::new(),
    }
}

/// A stream that was cut and that others had read a part of.
fn performance(listener: Uuid) -> Vec<Reply> {
    let ended = Reply::Ended {
        listener,
        seq: 0,
        stream: Uuid::from_u128(2),
        at: 7,
        how: How::Cut(words()),
        label: words(),
        before: 7,
        missed: 1,
    };
    let done = Reply::Done {
        listener,
        seq: 1,
        missed: 1,
        eof: None,
    };
    let listening = Reply::Listening {
        listener,
        lost: true,
        missed: 1,
    };
    vec![listening, ended, done]
}

fn status() -> Status {
    Status {
        program: words(),
        since: 1_000_000_000,
        pid: 77,
        kept: words(),
        memory: 1,
        used: 1,
        disk: Some((1, 1)),
        trouble: Some(words()),
        pipes: 1,
        waiting: 1,
        bytes: 1,
        clients: 1,
        inherited: vec![words()],
    }
}

/// A key other than the client's own.
fn key() -> KeyInfo {
    KeyInfo {
        name: format!("{WORDS}2"),
        encryption: PublicKey([1; 32]),
        rights: Rights::ALL,
        pipes: vec![words(), String::new()],
        expires: None,
        quota: None,
        holds: Holds::default(),
        made: 0,
        used: None,
        is_connected: false,
        has_keyring: true,
        attestation: None,
    }
}

/// The public keys of the machine that holds [`key`].
const HALVES: &str =
    "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ";

/// Commands of users, and whether they print text from the satellite.
const CALLS: [(&[&str], bool); 18] = [
    (&["-r", "x"], true),
    (&["--one", "x"], true),
    (&["--tap", "x"], true),
    (&["-w", "x"], false),
    (&["-w", "x", "--", "true"], false),
    (&["--eof", "x"], false),
    (&["--list"], true),
    (&["--discard", "x"], false),
    (&["--check"], true),
    (&["--keys"], true),
    (&["--keys", "--for", HALVES], true),
    (&["--invite", "x", "--for", HALVES], true),
    (&["--join"], true),
    (&["--leave"], true),
    (&["--invite", "x"], true),
    (&["--revoke", "x"], true),
    (&["--phrase"], false),
    (&["--no-phrase"], false),
];

#[test]
fn no_answer_of_a_satellite_can_harm_a_terminal() {
    let mut liar = Liar::new();
    liar.retort = Some(Box::new(answers));
    for (arguments, shows) in CALLS {
        let client = call(&liar, arguments);
        let outcome = liar.serve(client);
        let printed = is_harmless(&outcome);
        assert_eq!(shows_words(&printed), shows, "{outcome}");
    }
}

/// Starts the command with the invitation on stdin, which one of the commands reads.
fn call(liar: &Liar, arguments: &[&str]) -> Process {
    let client = liar.environment.skypipe(arguments).piped().start();
    if arguments == ["--join"] {
        client.say(liar.invitation(liar.seed.clone(), Kind::Owner));
    }
    client.close_stdin();
    client
}

/// Whether the output has text from the satellite, with its direction change escaped, as text or as JSON.
fn shows_words(printed: &str) -> bool {
    printed.contains("\\u{202e}") || printed.contains("\\u202e")
}

#[test]
fn a_terminal_is_told_no_more_harm_than_a_file() {
    let mut liar = Liar::new();
    liar.retort = Some(Box::new(answers));
    for (arguments, shows) in CALLS {
        let terminal = Terminal::open();
        let client = liar.environment.skypipe(arguments).on(&terminal).start();
        if arguments == ["--join"] {
            terminal.shows("invitation: ");
            let invitation = liar.invitation(liar.seed.clone(), Kind::Owner);
            terminal.types(&format!("{invitation}\n"));
        } else if arguments == ["-w", "x"] {
            // End of input.
            terminal.types("\u{4}");
        }
        liar.serve(client);
        // The last words may be on their way from the terminal still.
        wait::until("its words are shown", || {
            !shows || shows_words(&terminal.screen())
        });
        // Hints are for terminals only. This one says that the satellite is an old one.
        let screen = terminal.screen();
        let harms = |c: &char| !matches!(c, '\r' | '\n' | ' ') && !c.is_ascii_graphic();
        let harm: Vec<_> = screen.chars().filter(harms).collect();
        assert!(harm.is_empty(), "{arguments:?}: {harm:?}: {screen}");
    }
}

#[test]
fn no_refusal_of_a_satellite_can_harm_a_terminal() {
    let mut liar = Liar::new();
    for code in [Code::Revision, Code::Name, Code::Denied, Code::Lost] {
        liar.retort = Some(Box::new(move |request| {
            let refusal = Reply::Error {
                code,
                message: words(),
                about: None,
            };
            match request {
                Request::Hello(Hello { .. }) if code == Code::Revision => vec![refusal],
                Request::Hello(Hello { .. }) => vec![welcome()],
                Request::Ping => vec![Reply::Pong],
                _ => vec![refusal],
            }
        }));
        for (arguments, _) in CALLS {
            let client = call(&liar, arguments);
            let outcome = liar.serve(client);
            let printed = is_harmless(&outcome);
            // A refused machine has joined nothing, so it has nothing to leave.
            let is_told = shows_words(&printed) || arguments == ["--leave"];
            assert!(is_told, "{outcome}");
        }
    }
}
