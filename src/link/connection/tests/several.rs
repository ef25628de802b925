//! Tests: satellites whose name has several addresses, some of which belong to others.

use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::private::{Satellite, echo, keys, pair, refused};
use super::*;
use crate::link::route::Keys;

/// A route to all of these.
struct Several(Vec<String>, Option<Keys>);

impl Route for Several {
    fn known(&self) -> Option<Way> {
        None
    }

    fn find(&self) -> Result<Vec<Way>, String> {
        let way = |endpoint: &String| Way {
            endpoint: endpoint.clone(),
            name: "tcp://sky:9000".to_owned(),
            keys: self.1.clone(),
            ipv6: false,
            directory: None,
            tunnel: None,
        };
        Ok(self.0.iter().map(way).collect())
    }
}

/// A host that does this with each connection, one after another, and counts them.
struct Stranger {
    endpoint: String,
    count: Arc<AtomicUsize>,
}

impl Stranger {
    fn new(mut act: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::Relaxed);
                act(stream);
            }
        });
        Self {
            endpoint: format!("tcp://{address}"),
            count,
        }
    }

    /// A service of another kind.
    fn web() -> Self {
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        Self::new(move |mut stream| drop(io::Write::write_all(&mut stream, answer)))
    }

    /// A service that waits for the client to speak its own protocol.
    fn silent() -> Self {
        let mut kept = Vec::new();
        Self::new(move |stream| kept.push(stream))
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

/// An address where nobody listens.
fn nobody() -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr());
    format!("tcp://{}", free.expect("loopback is there"))
}

/// A satellite without keys that echoes everything.
fn plain() -> String {
    let (router, endpoint) = router();
    router.set_rcvtimeo(-1).expect("an option");
    thread::spawn(move || {
        while let Ok(frames) = router.recv_multipart(0) {
            let _ = router.send_multipart(frames, 0);
        }
    });
    endpoint
}

#[test]
fn the_satellite_is_found_behind_addresses_at_which_others_answer_and_tried_first_then() {
    let (web, silent) = (Stranger::web(), Stranger::silent());
    let all = [&web.endpoint, &silent.endpoint, &nobody(), &plain()];
    let mut bench = Bench::new(Several(all.map(String::clone).into(), None));
    echo(&mut bench);
    let asked = (web.count(), silent.count());
    echo(&mut bench);
    assert_eq!((web.count(), silent.count()), asked, "they are left alone");
}

#[test]
fn our_satellite_is_found_behind_another_with_another_key() {
    let ours = pair();
    let other = Satellite::start("tcp://127.0.0.1:*", ours.public);
    let satellite = Satellite::start("tcp://127.0.0.1:*", ours.public);
    let all = vec![other.endpoint.clone(), satellite.endpoint.clone()];
    let their = keys(satellite.public, &ours);
    echo(&mut Bench::new(Several(all, Some(their))));
}

#[test]
fn our_satellite_is_found_behind_one_without_keys() {
    let ours = pair();
    let satellite = Satellite::start("tcp://127.0.0.1:*", ours.public);
    let all = vec![plain(), satellite.endpoint.clone()];
    let their = keys(satellite.public, &ours);
    echo(&mut Bench::new(Several(all, Some(their))));
}

#[test]
fn who_shakes_hands_and_says_nothing_more_is_tried_last_the_next_time() {
    let (mute, endpoint) = router();
    let mut bench = Bench::new(Several(vec![endpoint, plain()], None));
    bench.connection.connect();
    bench.connection.send(message("lost on somebody"));
    bench.whole();
    bench.heard(&mute);
    echo(&mut bench);
}

#[test]
fn each_connection_is_for_the_satellite_and_none_is_thrown_away() {
    let (heard, greetings) = channel();
    let proxy = Stranger::new(move |mut stream| {
        let mut greeting = [0; 10];
        let read = stream.read_exact(&mut greeting);
        let _ = heard.send(read.is_ok() && greeting[0] == 0xff && greeting[9] == 0x7f);
    });
    let mut bench = Bench::new(Several(vec![nobody(), proxy.endpoint.clone()], None));
    bench.connection.connect();
    bench.until(broken);
    assert_eq!(greetings.recv_timeout(DEADLINE), Ok(true));
}

#[test]
fn what_is_wrong_at_each_address_is_told_when_they_differ() {
    let (web, free) = (Stranger::web(), nobody());
    let mut bench = Bench::new(Several(vec![web.endpoint.clone(), free.clone()], None));
    bench.connection.connect();
    let reason = bench.until(broken);
    let place = |endpoint: &str| endpoint.trim_start_matches("tcp://").to_owned();
    let web = place(&web.endpoint);
    let strange = format!("{web}: the program there does not answer like a satellite");
    let free = format!("{}: nobody answers there", place(&free));
    assert!(reason.contains(&strange), "{reason}");
    assert!(reason.contains(&free), "{reason}");
    let mut bench = Bench::new(Several(vec![nobody(), nobody()], None));
    bench.connection.connect();
    assert_eq!(bench.until(broken), "nobody answers there");
}

#[test]
fn a_refusal_is_final_only_if_nobody_else_could_be_the_satellite() {
    let ours = pair();
    let keys_of = || Some(keys(pair().public, &ours));
    let mut bench = Bench::new(Several(vec![plain(), nobody()], keys_of()));
    for _ in 0..3 {
        bench.connection.connect();
        let reason = bench.until(broken);
        assert!(
            reason.contains("the satellite there has no keys"),
            "{reason}"
        );
    }
    let sentence = refused(&mut Bench::new(Several(vec![plain(), plain()], keys_of())));
    assert!(sentence.contains("has no keys"), "{sentence}");
}

#[test]
fn the_satellite_itself_has_the_last_word_whatever_else_its_name_leads_to() {
    let satellite = Satellite::start("tcp://127.0.0.1:*", pair().public);
    let all = vec![satellite.endpoint.clone(), Stranger::silent().endpoint];
    let their = keys(satellite.public, &pair());
    let sentence = refused(&mut Bench::new(Several(all, Some(their))));
    assert!(
        sentence.contains("does not know this machine's key"),
        "{sentence}"
    );
}
