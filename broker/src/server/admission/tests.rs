//! Questions and answers by themselves, and libzmq asking with real sockets.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use zmq::CurveKeyPair;

use super::*;

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The messages of each client.
const MESSAGES: u32 = 2000;

fn question(version: &str, mechanism: &str, public: &[u8]) -> Vec<Bytes> {
    let frames: [&[u8]; FRAMES] = [
        b"",
        version.as_bytes(),
        b"1",
        DOMAIN.as_bytes(),
        b"203.0.113.7",
        b"",
        mechanism.as_bytes(),
        public,
    ];
    frames.map(Bytes::copy_from_slice).to_vec()
}

/// The code and the user of the answer of a satellite that knows but one key.
fn told(question: &[Bytes]) -> Option<(Bytes, Bytes)> {
    let answer = answer(question, &mut |public| {
        (public == &[7; 32]).then_some(KeyId(42))
    })?;
    assert_eq!((&answer[0][..], &answer[1]), (&b""[..], &question[1]));
    assert_eq!(answer[2], question[2]);
    Some((answer[3].clone(), answer[5].clone()))
}

#[test]
fn a_key_that_is_known_gets_its_number_and_another_nothing() {
    let told = |key: [u8; 32]| told(&question("1.0", "CURVE", &key));
    assert_eq!(told([7; 32]), Some(("200".into(), "42".into())));
    assert_eq!(told([8; 32]), Some(("400".into(), "".into())));
}

#[test]
fn a_question_without_sense_is_answered_with_500_if_it_can_be_answered() {
    let good = question("1.0", "CURVE", &[7; 32]);
    for senseless in [
        question("1.0", "NULL", &[7; 32]),
        question("1.0", "PLAIN", b"name"),
        question("1.0", "CURVE", &[7; 31]),
        question("1.0", "CURVE", &[7; 33]),
        [&good[..], &["more".into()]].concat(),
        good[..7].to_vec(),
        good[..3].to_vec(),
    ] {
        assert_eq!(told(&senseless), Some(("500".into(), "".into())));
    }
    for unanswerable in [&good[..2], &[]] {
        assert_eq!(answer(unanswerable, &mut |_| Some(KeyId(1))), None);
    }
}

/// A ROUTER that asks, and the socket on which it does.
struct Gate {
    router: Socket,
    admission: Admission,
    public: [u8; 32],
    endpoint: String,
}

impl Gate {
    fn open() -> Self {
        let context = Context::new();
        let pair = CurveKeyPair::new().unwrap();
        let mut router = context.socket(zmq::ROUTER).unwrap();
        frame::notify_disconnects(&mut router).unwrap();
        super::super::make_private(&mut router, &pair.secret_key).unwrap();
        let admission = Admission::open(&context).unwrap();
        frame::bind(&mut router, "tcp://127.0.0.1:*").unwrap();
        let endpoint = router.get_last_endpoint().unwrap().unwrap();
        Self {
            router,
            admission,
            public: pair.public_key,
            endpoint,
        }
    }

    fn dial(&self, pair: &CurveKeyPair) -> Socket {
        let dealer = Context::new().socket(zmq::DEALER).unwrap();
        dealer.set_sndhwm(0).unwrap();
        dealer.set_curve_serverkey(&self.public).unwrap();
        dealer.set_curve_publickey(&pair.public_key).unwrap();
        dealer.set_curve_secretkey(&pair.secret_key).unwrap();
        dealer.connect(&self.endpoint).unwrap();
        dealer
    }

    /// Waits for a message or a question, and answers all questions that came.
    fn wait(&mut self, known: &HashMap<[u8; 32], KeyId>, end: Instant) {
        assert!(Instant::now() < end, "what has to come comes");
        let mut items = [
            self.router.as_poll_item(zmq::POLLIN),
            self.admission.poll_item(),
        ];
        zmq::poll(&mut items, 1000).unwrap();
        self.admission
            .answer(&mut |public| known.get(public).copied())
            .unwrap();
    }
}

#[test]
fn messages_keep_the_number_of_their_key_however_they_mix() {
    let mut gate = Gate::open();
    let pairs: Vec<_> = (0..2).map(|_| CurveKeyPair::new().unwrap()).collect();
    let known = pairs.iter().zip([3, u64::MAX]);
    let known: HashMap<_, _> = known
        .map(|(pair, number)| (pair.public_key, KeyId(number)))
        .collect();
    let dealers: Vec<_> = pairs.iter().map(|pair| gate.dial(pair)).collect();
    let talkers = pairs.iter().zip(dealers).map(|(pair, mut dealer)| {
        // Each says which number it expects to be given, in every message.
        let number = known[&pair.public_key].0;
        let said = Bytes::from(number.to_string().into_bytes());
        thread::spawn(move || {
            for round in 0..MESSAGES {
                let payload = Bytes::from(vec![1; round as usize * 16]);
                let frames = [said.clone(), payload.clone(), payload];
                let sent = frame::send(&mut dealer, None, &frames).unwrap();
                assert_eq!(sent, frame::Sent::Taken);
            }
            dealer
        })
    });
    let talkers: Vec<_> = talkers.collect();
    let end = Instant::now() + PATIENCE;
    let mut heard = HashMap::new();
    while heard.values().sum::<u32>() < 2 * MESSAGES {
        while let Some((name, frames)) = frame::receive_named(&gate.router, 4).unwrap() {
            let name = name.expect("every message has the number of its key");
            assert_eq!(frames[1], name.to_string().as_bytes());
            *heard.entry(name).or_default() += 1;
        }
        gate.wait(&known, end);
    }
    assert_eq!(heard, HashMap::from([(3, MESSAGES), (u64::MAX, MESSAGES)]));
    for talker in talkers {
        talker.join().unwrap();
    }
}

#[test]
fn the_notice_of_an_end_has_no_number_and_nobody_can_call_himself_another() {
    let mut gate = Gate::open();
    let pair = CurveKeyPair::new().unwrap();
    let known = HashMap::from([(pair.public_key, KeyId(5))]);
    let dealer = gate.dial(&pair);
    dealer.send("word", 0).unwrap();
    let end = Instant::now() + PATIENCE;
    let mut next = || loop {
        if let Some(message) = frame::receive_named(&gate.router, 4).unwrap() {
            break message;
        }
        gate.wait(&known, end);
    };
    let (name, frames) = next();
    assert_eq!((name, &frames[1][..]), (Some(5), &b"word"[..]));
    drop(dealer);
    let (name, frames) = next();
    assert_eq!((name, &frames[1][..]), (None, &b""[..]));
}
