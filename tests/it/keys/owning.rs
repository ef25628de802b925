//! Streams and listeners belong to the client that opened them; no other key can use them.

use skypipe_protocol::token::Token;
use skypipe_protocol::{
    Code, Confirm, Data, Finish, How, Listen, Mode, Open, Reply, Request, Resume, Rights,
};
use uuid::Uuid;

use crate::keys::arena::Sky;
use crate::keys::raw::{READ, Raw, There, WRITE, new_key, seed, word};

/// A writer and a listener at work, and clients that try to act as them.
struct Scene {
    there: There,
    owner: Raw,
    writer: Raw,
    listener: Raw,
    stream: Uuid,
    taker: Uuid,
    _sky: Sky,
}

impl Scene {
    fn new() -> Self {
        let sky = Sky::new();
        let token = Token::parse(sky.first()).expect("it is an invitation");
        let there = There::of(&token);
        let owner = Raw::at(&there, &token.seed);
        for (number, name, rights) in [
            (1, "writer", WRITE),
            (2, "reader", READ),
            (3, "other writer", WRITE),
            (4, "other reader", READ),
            (5, "manager", Rights::ALL),
        ] {
            let new = new_key(name, &seed(number), rights, &[]);
            assert_eq!(word(&owner.answer(&Request::Invite(new))), "Invited");
        }
        let (stream, taker) = (Uuid::new_v4(), Uuid::new_v4());
        let writer = Raw::at(&there, &seed(1));
        let listener = Raw::at(&there, &seed(2));
        listener.say(&listen(taker, None));
        listener.hear_word("Listening");
        writer.say(&open(stream, false));
        writer.hear_word("Opened");
        writer.say(&data(stream, 0));
        listener.hear_word("Chunk");
        Self {
            there,
            owner,
            writer,
            listener,
            stream,
            taker,
            _sky: sky,
        }
    }

    /// Checks that the writer and the listener continue undisturbed.
    fn goes_on(self) {
        let stream = self.stream;
        self.writer.say(&data(stream, 5));
        let chunk = self.listener.hear_word("Chunk");
        assert!(
            matches!(chunk, Reply::Chunk { seq: 1, at: 5, .. }),
            "{chunk:?}"
        );
        let how = How::End;
        self.writer.say(&Request::Finish(Finish {
            stream,
            len: 10,
            how: how.clone(),
        }));
        let ended = self.listener.hear_word("Ended");
        assert!(matches!(ended, Reply::Ended { how: h, .. } if h == how));
        self.listener.hear_word("Done");
        self.listener.say(&confirm(self.taker, 4));
        self.listener.hear_word("Closed");
        self.writer.hear_word("Finished");
        let nothing = self.owner.answer(&Request::List { after: None });
        assert!(
            matches!(&nothing, Reply::Pipes { pipes, .. } if pipes.len() <= 1),
            "{nothing:?}"
        );
    }
}

fn open(stream: Uuid, resume: bool) -> Request {
    Request::Open(Open {
        stream,
        pipe: "x".to_owned(),
        from: 0,
        resume,
        wait: false,
        whole: false,
        label: "a test".to_owned(),
    })
}

fn data(stream: Uuid, at: u64) -> Request {
    Request::Data(Data {
        stream,
        at,
        tail: 0,
        requested: 0,
    })
}

fn listen(listener: Uuid, resume: Option<Resume>) -> Request {
    Request::Listen(Listen {
        listener,
        pipe: "x".to_owned(),
        mode: Mode::Default,
        window: 1 << 20,
        resume,
    })
}

fn confirm(listener: Uuid, next_seq: u64) -> Request {
    let window = 1 << 20;
    Request::Confirm(Confirm {
        listener,
        next_seq,
        window,
    })
}

#[test]
fn what_belongs_to_another_client_is_not_touched_whatever_the_key() {
    let scene = Scene::new();
    let (stream, taker) = (scene.stream, scene.taker);
    let cut = || How::Cut("by somebody".to_owned());
    let resume = Some(Resume::default());
    // The other clients also use the writer's and the reader's own keys.
    for number in 1..=5 {
        let thief = Raw::at(&scene.there, &seed(number));
        for request in [
            data(stream, 5),
            Request::Finish(Finish {
                stream,
                len: 5,
                how: cut(),
            }),
            Request::Finish(Finish {
                stream,
                len: 5,
                how: How::End,
            }),
            open(stream, false),
            open(stream, true),
            listen(taker, resume.clone()),
            listen(taker, None),
        ] {
            thief.is_refused(&request, Code::Denied);
        }
        // These requests never have an answer.
        for request in [
            Request::Close { stream },
            Request::Credit {
                stream,
                requested: 1 << 30,
            },
            confirm(taker, 1),
            Request::Leave { listener: taker },
        ] {
            for reply in thief.ask(&request) {
                assert_eq!(word(&reply), "Denied", "{request:?}: {reply:?}");
            }
        }
        thief.say(&Request::Bye);
    }
    scene.goes_on();
}

#[test]
fn nobody_says_hello_as_the_client_of_another_key() {
    let scene = Scene::new();
    for victim in [scene.writer.client, scene.listener.client] {
        for number in [3, 4, 5] {
            let mut thief = Raw::stranger(&scene.there, Some(&seed(number).identity()));
            thief.client = victim;
            thief.say(&thief.hello());
            let reply = thief.hear();
            assert_eq!(word(&reply), "Denied", "{reply:?}");
            for request in [data(scene.stream, 5), confirm(scene.taker, 1)] {
                thief.say(&request);
                assert_eq!(word(&thief.hear()), "Stranger");
            }
        }
    }
    scene.goes_on();
}

#[test]
fn a_client_comes_back_with_its_own_key_on_another_connection() {
    let mut scene = Scene::new();
    scene.writer = Raw::named(&scene.there, &seed(1), scene.writer.client);
    scene.writer.say(&open(scene.stream, true));
    let opened = scene.writer.hear_word("Opened");
    assert!(
        matches!(opened, Reply::Opened { next: 5, .. }),
        "{opened:?}"
    );
    scene.goes_on();
}
