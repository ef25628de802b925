//! A failing disk: everybody is told why, and nothing that would be a promise is sent (rule 11).

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use super::story::{id, listening, opening, peer};
use super::words::words;
use crate::broker::{Broker, Input, Now, Output, Settings};
use crate::protocol::{
    Data, Finish, Hello, How, MAGIC, Mode, Open, REVISION, Request, decode, encode,
};
use crate::store::{Chunk, Damaged, DiskUse, Mark, Memory, Record, Store, StreamKey, WriteError};
use crate::v01;

/// What fails from the next call on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fails {
    Nothing,
    Save,
    Flush,
    Checkpoint,
}

/// A durable store that syncs at once, as long as nothing fails.
#[derive(Debug)]
struct Fragile {
    memory: Memory,
    fails: Rc<RefCell<Fails>>,
    written: u64,
    /// What is written down and what is sent, in order.
    order: Rc<RefCell<Vec<String>>>,
}

impl Fragile {
    fn fail(&self, at: Fails) -> Result<(), WriteError> {
        if *self.fails.borrow() == at {
            Err(WriteError::Failed("the disk is broken".to_owned()))
        } else {
            Ok(())
        }
    }
}

impl Store for Fragile {
    fn append(&mut self, stream: StreamKey, chunk: Chunk) {
        self.memory.append(stream, chunk);
    }

    fn mark(&self, stream: StreamKey, at: u64) -> Option<Mark> {
        self.memory.mark(stream, at)
    }

    fn chunk(&self, stream: StreamKey, at: u64) -> Result<Option<Chunk>, Damaged> {
        self.memory.chunk(stream, at)
    }

    fn release(&mut self, stream: StreamKey, at: u64) -> u64 {
        self.memory.release(stream, at)
    }

    fn remove(&mut self, stream: StreamKey) -> u64 {
        self.memory.remove(stream)
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn save(&mut self, _: StreamKey) -> Result<u64, WriteError> {
        self.written += 1;
        self.fail(Fails::Save).map(|()| 0)
    }

    fn saved(&self, _: StreamKey) -> Option<u64> {
        None
    }

    fn put(&mut self, _: &Record) {
        self.written += 1;
        self.order.borrow_mut().push("record".to_owned());
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.fail(Fails::Flush)
    }

    fn written(&self) -> u64 {
        self.written
    }

    fn synced(&self) -> u64 {
        self.written
    }

    fn sync(&mut self) {}

    fn wants_checkpoint(&self) -> bool {
        *self.fails.borrow() == Fails::Checkpoint
    }

    fn checkpoint(&mut self, _: &mut dyn Iterator<Item = Record>) -> Result<(), WriteError> {
        self.fail(Fails::Checkpoint)
    }

    fn disk(&self) -> Option<DiskUse> {
        None
    }

    fn kept(&self) -> String {
        "fragile".to_owned()
    }
}

struct Story {
    broker: Broker<Fragile>,
    fails: Rc<RefCell<Fails>>,
    order: Rc<RefCell<Vec<String>>>,
    /// What was sent to whom, and how the satellite ended, as text.
    done: Vec<String>,
}

impl Story {
    fn new() -> Self {
        let settings = Settings {
            satellite: id("satellite"),
            program: "skypipe 1.0.0".to_owned(),
            since: 0,
            pid: 7,
            memory: 4 << 20,
            quota: u64::MAX,
            writer_lost: Now::from_secs(60),
            listener_lost: Now::from_secs(10),
            is_local: false,
            idle: None,
            stoppable: true,
            clients: 100,
        };
        let fails = Rc::new(RefCell::new(Fails::Nothing));
        let store = Fragile {
            memory: Memory::default(),
            fails: Rc::clone(&fails),
            written: 0,
            order: Rc::default(),
        };
        let order = Rc::clone(&store.order);
        let (broker, done) = (Broker::new(settings, store), Vec::new());
        Self {
            broker,
            fails,
            order,
            done,
        }
    }

    fn happen(&mut self, input: Input) {
        self.broker.handle(Now::from_secs(1), input);
        while let Some(output) = self.broker.poll() {
            let done = &mut self.done;
            match output {
                Output::Send { frames, .. } if frames[0] == v01::MAGIC => {}
                Output::Send { peer, frames, .. } => {
                    let reply = decode(&frames[1]).expect("a client understands it");
                    let who = String::from_utf8_lossy(&peer.0);
                    let said = format!("{who}: {}", words((reply, None)));
                    self.order.borrow_mut().push(said.clone());
                    done.push(said);
                }
                Output::Fail(why) => done.push(format!("fails: {why}")),
                Output::Stop => done.push("stops".to_owned()),
                Output::Log(_) | Output::SaveKeys(_) | Output::Credit { .. } => {}
            }
        }
    }

    fn say(&mut self, who: &str, request: &Request, payload: Option<&'static [u8]>) {
        let mut frames = vec![Bytes::from_static(MAGIC), Bytes::from(encode(request))];
        frames.extend(payload.map(Bytes::from_static));
        let (peer, key) = (peer(who), None);
        self.happen(Input::Received { peer, key, frames });
    }

    fn hello(&mut self, who: &str) {
        let hello = Request::Hello(Hello {
            client: id(who),
            revision: REVISION,
            program: "skypipe 1.0.0".to_owned(),
        });
        self.say(who, &hello, None);
    }

    /// A writer whose stream has finished, and a listener of another pipe.
    fn write(&mut self) {
        for who in ["w", "r"] {
            self.hello(who);
        }
        self.say("r", &listening("r", "other", Mode::Default, None), None);
        self.say("w", &opening("s", "p"), None);
        let data = Request::Data(Data {
            stream: id("s"),
            at: 0,
            tail: 0,
            requested: 0,
        });
        self.say("w", &data, Some(b"text\n"));
        let finish = Request::Finish(Finish {
            stream: id("s"),
            len: 5,
            how: How::End,
        });
        self.say("w", &finish, None);
        self.happen(Input::Timeout);
    }
}

#[test]
fn rule_11_a_disk_that_is_whole_makes_the_promise() {
    let mut story = Story::new();
    story.write();
    let done = story.done.join("\n");
    assert!(done.contains("w: kept"), "{done}");
}

#[test]
fn rule_11_after_a_failure_of_the_disk_everybody_is_told_why_and_nothing_is_promised() {
    for fails in [Fails::Save, Fails::Flush, Fails::Checkpoint] {
        let mut story = Story::new();
        for who in ["w", "r"] {
            story.hello(who);
        }
        story.done.clear();
        *story.fails.borrow_mut() = fails;
        story.write();
        let last = [
            "w: refused: Failed",
            "r: refused: Failed",
            "fails: the disk is broken",
        ];
        let promised = |said: &&String| said.contains("kept") || said.contains("ack 5");
        assert_eq!(story.done.iter().find(promised), None, "{fails:?}");
        let told = &story.done[story.done.len() - 3..];
        assert_eq!(told, last, "{fails:?}: {:?}", story.done);
        // Everything that happens now is for the next satellite.
        story.hello("late");
        story.happen(Input::Stop);
        story.happen(Input::Synced);
        assert_eq!(&story.done[story.done.len() - 3..], last, "{fails:?}");
    }
}

/// A listener of 0.1 is not told of the end of one of two streams, so nothing has to be taken for it.
#[test]
fn rule_11_what_an_old_listener_is_not_told_is_recorded_before_a_writer_hears_of_it() {
    let mut story = Story::new();
    let frames = [v01::MAGIC, b"LISTEN", b"p"].map(Bytes::from_static);
    let (old, key) = (peer("old"), None);
    story.happen(Input::Received {
        peer: old.clone(),
        key,
        frames: frames.to_vec(),
    });
    for (writer, stream, wait) in [("w", "s", true), ("x", "t", false)] {
        story.hello(writer);
        let Request::Open(open) = opening(stream, "p") else {
            unreachable!("it opens a stream");
        };
        story.say(writer, &Request::Open(Open { wait, ..open }), None);
        let data = Request::Data(Data {
            stream: id(stream),
            at: 0,
            tail: 0,
            requested: 0,
        });
        story.say(writer, &data, Some(b"text\n"));
        story.happen(Input::Taken { peer: old.clone() });
    }
    story.order.borrow_mut().clear();
    let finish = Request::Finish(Finish {
        stream: id("s"),
        len: 5,
        how: How::End,
    });
    story.say("w", &finish, None);
    let order = story.order.borrow().clone();
    let told = order.iter().position(|it| it == "w: taken");
    let recorded = order.iter().rposition(|it| it == "record");
    assert!(told > recorded, "{order:?}");
    assert!(told.is_some() && recorded.is_some(), "{order:?}");
}
