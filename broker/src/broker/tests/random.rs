//! Random histories of honest clients. Whatever they do and in whatever order: the budget holds, nothing is
//! left behind, and everything taken arrives.

use bytes::Bytes;
use std::time::Duration;

use proptest::prelude::*;

use super::pen::{Ear, Pen, flow};
use super::story::{MEMORY, Story, id, listening, reopening};
use crate::protocol::{
    CHUNK_OVERHEAD, Confirm, Finish, Hello, How, Listen, MAX_CHUNK, Mode, Reply, Request, Resume,
    cost,
};

/// The maximum of used bytes: the budget, its reserve of a quarter, and two chunks for taps.
const MOST: u64 = MEMORY + MEMORY / 4 + 2 * (MAX_CHUNK as u64 + CHUNK_OVERHEAD);

const PIPES: [&str; 2] = ["p", "q"];

/// One action of a client.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A client opens a stream in a pipe.
    Open(usize),
    /// A writer writes, or requests the credit for it.
    Write(usize, usize),
    /// A writer requests a lot of credit and does not use it.
    Want(usize),
    Finish(usize),
    Listen(usize, Mode),
    Confirm(usize),
    Leave(usize),
    /// A connection breaks. The client reconnects at once, or never.
    Break(usize, bool),
    Eof(usize),
    Discard(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..8_usize;
    let pipe = 0..PIPES.len();
    let mode = prop::sample::select(vec![Mode::Default, Mode::One, Mode::Follow, Mode::Tap]);
    let len = prop_oneof![1..200_usize, 1..300_000_usize];
    prop_oneof![
        2 => pipe.clone().prop_map(Step::Open),
        12 => (who.clone(), len).prop_map(|(who, len)| Step::Write(who, len)),
        1 => who.clone().prop_map(Step::Want),
        1 => who.clone().prop_map(Step::Finish),
        2 => (pipe.clone(), mode).prop_map(|(pipe, mode)| Step::Listen(pipe, mode)),
        6 => who.clone().prop_map(Step::Confirm),
        1 => who.clone().prop_map(Step::Leave),
        1 => (who, any::<bool>()).prop_map(|(who, back)| Step::Break(who, back)),
        1 => pipe.clone().prop_map(Step::Eof),
        1 => pipe.prop_map(Step::Discard),
        1 => (0..20_000_u64).prop_map(Step::Pass),
    ]
}

struct History {
    story: Story,
    pens: Vec<Pen>,
    ears: Vec<(Ear, &'static str, Mode)>,
    count: usize,
}

impl History {
    fn new() -> Self {
        let mut story = Story::new();
        story.hello("asker", "asker");
        Self {
            story,
            pens: Vec::new(),
            ears: Vec::new(),
            count: 0,
        }
    }

    fn name(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}{}", self.count)
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Open(pipe) => {
                let name = self.name("w");
                self.pens
                    .push(Pen::open(&mut self.story, &name, PIPES[pipe]));
            }
            Step::Write(who, len) => {
                if let Some(pen) = pick(&mut self.pens, who) {
                    pen.write(&mut self.story, len);
                }
            }
            Step::Want(who) => {
                if let Some(pen) = pick(&mut self.pens, who) {
                    pen.want(&mut self.story, 16 << 20);
                }
            }
            Step::Finish(who) => {
                if !self.pens.is_empty() {
                    let mut pen = self.pens.remove(who % self.pens.len());
                    pen.finish(&mut self.story);
                    assert!(pen.outcome.is_some(), "a finish needs no room");
                    self.story.say(&pen.name, &Request::Bye);
                }
            }
            Step::Listen(pipe, mode) => {
                let name = self.name("r");
                let ear = Ear::listen(&mut self.story, &name, PIPES[pipe], mode);
                self.ears.push((ear, PIPES[pipe], mode));
            }
            Step::Confirm(who) => {
                if let Some((ear, ..)) = pick(&mut self.ears, who) {
                    ear.confirm(&mut self.story);
                }
            }
            Step::Leave(who) => {
                if !self.ears.is_empty() {
                    let (ear, ..) = self.ears.remove(who % self.ears.len());
                    self.story.say(
                        &ear.name,
                        &Request::Leave {
                            listener: id(&ear.name),
                        },
                    );
                    self.story.say(&ear.name, &Request::Bye);
                }
            }
            Step::Break(who, back) => self.break_off(who, back),
            Step::Eof(pipe) => self.ask(&Request::Eof {
                pipe: PIPES[pipe].to_owned(),
                order: Bytes::new(),
            }),
            Step::Discard(pipe) => self.ask(&Request::Discard {
                pipe: PIPES[pipe].to_owned(),
            }),
            Step::Pass(ms) => self.pass(Duration::from_millis(ms)),
        }
        self.ears.retain(|(ear, ..)| !ear.is_closed);
    }

    fn ask(&mut self, request: &Request) {
        self.story.say("asker", request);
        let reply = self.story.reply("asker");
        assert!(
            matches!(reply, Reply::EofTaken | Reply::Discarded { .. }),
            "{reply:?}"
        );
    }

    /// Passes time, during which all clients send heartbeats.
    fn pass(&mut self, time: Duration) {
        let end = self.story.now + time;
        while self.story.now < end {
            self.story
                .pass(Duration::from_secs(2).min(end.saturating_sub(self.story.now)));
            let here = self.pens.iter().map(|pen| &pen.name);
            let here = here.chain(self.ears.iter().map(|(ear, ..)| &ear.name));
            for name in here {
                self.story.say(name, &Request::Ping);
            }
            self.story.say("asker", &Request::Ping);
            self.story.hear("asker");
        }
    }

    /// Breaks the connection of a writer and of a listener.
    fn break_off(&mut self, who: usize, back: bool) {
        if let Some(pen) = pick(&mut self.pens, who) {
            pen.take_in(&mut self.story);
            self.story.disconnect(&pen.name);
            if back {
                self.story.hello(&pen.name, &pen.name);
                self.story
                    .say(&pen.name, &reopening(&pen.name, "", pen.next));
                pen.in_hand = 0;
                pen.take_in(&mut self.story);
            }
        }
        if let Some((ear, pipe, mode)) = pick(&mut self.ears, who) {
            ear.take_in(&mut self.story);
            if !ear.is_closed {
                self.story.disconnect(&ear.name);
            }
            if back && !ear.is_closed {
                self.story.hello(&ear.name, &ear.name);
                let again = listening(&ear.name, pipe, *mode, Some(ear.arrived));
                self.story.say(&ear.name, &again);
            }
        }
        if !back {
            drop_one(&mut self.pens, who);
            drop_one(&mut self.ears, who);
        }
    }

    fn assert_within_budget(&self) {
        let used = self.story.broker.used();
        assert!(used <= MOST, "{used} bytes are used of {MOST}");
        self.story.assert_frame_credit();
    }

    /// All writers finish, all listeners leave, and everything that waits is read.
    fn wind_up(&mut self) {
        for mut pen in self.pens.drain(..) {
            pen.finish(&mut self.story);
            self.story.say(&pen.name, &Request::Bye);
        }
        for (ear, ..) in self.ears.drain(..) {
            self.story.say(&ear.name, &Request::Bye);
        }
        // Clients that lost their connection time out.
        self.story.pass(Duration::from_secs(60));
        self.story.hello("asker", "asker");
        for pipe in PIPES {
            while self.waits(pipe) {
                let name = self.name("last");
                let mut ear = Ear::listen(&mut self.story, &name, pipe, Mode::Default);
                while !ear.is_closed {
                    let before = ear.arrived;
                    ear.confirm(&mut self.story);
                    ear.take_in(&mut self.story);
                    assert!(ear.arrived > before || ear.is_closed, "it goes on");
                }
            }
        }
        assert_eq!(self.story.broker.used(), 0, "nothing is left behind");
        assert!(self.story.broker.base.pipes.iter().next().is_none());
        assert_eq!(self.story.broker.base.pipes.streams(), 0);
        let subscriptions = &self.story.broker.subscriptions;
        assert!(subscriptions.are_all_away(), "who may come back is kept");
        assert_eq!(
            self.story.broker.base.pipes.cursors(),
            subscriptions.kept_parts()
        );
    }

    fn waits(&mut self, pipe: &str) -> bool {
        self.story.say("asker", &Request::List { after: None });
        let Reply::Pipes { pipes, .. } = self.story.reply("asker") else {
            panic!("no list")
        };
        pipes
            .iter()
            .any(|info| info.name == pipe && info.waiting > 0)
    }
}

fn pick<T>(all: &mut [T], who: usize) -> Option<&mut T> {
    let count = all.len();
    all.get_mut(who.checked_rem(count)?)
}

fn drop_one<T>(all: &mut Vec<T>, who: usize) {
    if let Some(index) = who.checked_rem(all.len()) {
        all.remove(index);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rule_12_the_budget_holds_and_nothing_is_left_behind(
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut history = History::new();
        for step in steps {
            history.take(step);
            history.assert_within_budget();
        }
        history.wind_up();
    }

    /// However the memory was used up, a writer can continue if its listener takes what arrives.
    #[test]
    fn rule_12_a_full_satellite_can_always_be_drained(
        steps in prop::collection::vec(step(), 0..150),
        mode in prop::sample::select(vec![Mode::Default, Mode::One, Mode::Follow]),
    ) {
        let mut history = History::new();
        for step in steps {
            history.take(step);
        }
        let mut file = Pen::open(&mut history.story, "file", "elsewhere");
        file.fill(&mut history.story);
        let mut ear = Ear::listen(&mut history.story, "ear", "drained", mode);
        let mut pen = Pen::open(&mut history.story, "pen", "drained");
        for len in [1, 10, 5_000, 100_000, 10, 200_000] {
            flow(&mut history.story, &mut pen, &mut ear, len);
            history.assert_within_budget();
        }
    }

    /// Messages with random values in every field never break the broker or its budget.
    #[test]
    fn nonsense_never_exceeds_the_budget(
        words in prop::collection::vec((0..12_u8, 0..4_u8, any::<u64>(), 0..6_u64), 0..200),
    ) {
        let mut story = Story::new();
        story.meet(&["x", "y"]);
        for (kind, name, wild, small) in words {
            let name = ["a", "b", "c", "d"][name as usize];
            let who = if wild % 2 == 0 { "x" } else { "y" };
            let number = if wild % 3 == 0 { wild } else { small };
            nonsense(&mut story, who, kind, name, number);
            prop_assert!(story.broker.used() <= MOST);
            story.assert_frame_credit();
        }
        story.say("x", &Request::Bye);
        story.say("y", &Request::Bye);
        story.hello("z", "z");
        story.say("z", &Request::Discard { pipe: "p".to_owned() });
        prop_assert_eq!(story.broker.used(), 0);
    }
}

fn nonsense(story: &mut Story, who: &str, kind: u8, name: &str, number: u64) {
    let pipe = || "p".to_owned();
    let mode = [Mode::Default, Mode::One, Mode::Follow, Mode::Tap][(number % 4) as usize];
    match kind {
        0 => story.open(who, name, "p"),
        1 => story.say(who, &reopening(name, "p", number)),
        2 => story.write_requesting(who, name, number, b"x\n", number),
        3 => story.say(
            who,
            &Request::Credit {
                stream: id(name),
                requested: number,
            },
        ),
        4 => story.say(
            who,
            &Request::Finish(Finish {
                stream: id(name),
                len: number,
                how: How::End,
            }),
        ),
        5 => story.say(who, &Request::Close { stream: id(name) }),
        6 => {
            let (listener, resume) = (
                id(&format!("l{name}")),
                number.is_multiple_of(2).then_some(Resume {
                    next_seq: number,
                    cost: number,
                    line: None,
                    streams: Vec::new(),
                }),
            );
            let window = number.saturating_mul(cost(2));
            story.say(
                who,
                &Request::Listen(Listen {
                    listener,
                    pipe: pipe(),
                    mode,
                    window,
                    resume,
                }),
            );
        }
        7 => {
            let listener = id(&format!("l{name}"));
            story.say(
                who,
                &Request::Confirm(Confirm {
                    listener,
                    next_seq: number,
                    window: number,
                }),
            );
        }
        8 => story.say(
            who,
            &Request::Leave {
                listener: id(&format!("l{name}")),
            },
        ),
        9 => story.say(
            who,
            &Request::Eof {
                pipe: pipe(),
                order: Bytes::new(),
            },
        ),
        10 => story.write_requesting(who, name, number, &vec![b'x'; 70_000], number << 16),
        _ => {
            let program = String::new();
            let revision = u16::from(number < 3);
            story.say(
                who,
                &Request::Hello(Hello {
                    client: id(who),
                    revision,
                    program,
                }),
            );
        }
    }
}
