//! A frame that is longer than the free size takes memory only if its connection has credit for it.

use super::*;

/// The length of the longest frame that needs no credit in these tests.
const FREE: usize = 100;

/// The cost of a frame besides its bytes.
const OVERHEAD: usize = 256;

/// Lengths of frames that are too long, on both sides of what the decoder reads at once.
const LONG: [usize; 9] = [FREE + 1, 255, 256, 257, 513, 8191, 8193, 70_000, LONGEST];

fn asking(free: usize) -> Socket {
    asking_of(&zmq::Context::new(), free)
}

fn asking_of(context: &zmq::Context, free: usize) -> Socket {
    let mut router = context.socket(zmq::ROUTER).unwrap();
    router.set_maxmsgsize(LONGEST.try_into().unwrap()).unwrap();
    router.set_rcvhwm(8).unwrap();
    notify_disconnects(&mut router).unwrap();
    ask_credit(&mut router, free).unwrap();
    bind(&mut router, "tcp://127.0.0.1:*").unwrap();
    router
}

/// An admitted peer, and its routing id.
fn peer_of(router: &Socket, version: Version) -> (Bytes, Peer) {
    let mut peer = Peer::speaking(router, version);
    (route_in(router, version, &mut peer), peer)
}

/// A payload in which no two parts are the same.
fn payload(len: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(len).collect()
}

fn cost(len: usize) -> i64 {
    (len + OVERHEAD).try_into().unwrap()
}

/// Asserts that the next message has these frames.
fn comes(router: &Socket, frames: &[&[u8]]) {
    let message = await_message(router, 9);
    let lengths: Vec<_> = message[1..].iter().map(Bytes::len).collect();
    let same = message[1..].iter().eq(frames.iter().copied());
    assert!(same, "frames of {lengths:?} bytes came");
}

#[test]
fn without_credit_a_long_frame_arrives_empty_and_its_connection_goes_on() {
    for version in VERSIONS {
        let mut router = asking(FREE);
        let (route, mut peer) = peer_of(&router, version);
        for len in LONG {
            peer.old_frame(version, LAST, &payload(len));
            comes(&router, &[b""]);
            peer.old_frame(version, LAST, b"next");
            comes(&router, &[b"next"]);
        }
        assert!(is_connected(&mut router, &route));
    }
}

#[test]
fn a_frame_that_was_dropped_is_told_from_one_that_was_empty() {
    for version in VERSIONS {
        let mut router = asking(FREE);
        let (_, mut peer) = peer_of(&router, version);
        for (said, is_short) in [(vec![], false), (payload(LONG[0]), true), (vec![7], false)] {
            peer.old_frame(version, LAST, &said);
            let patience = PATIENCE.as_millis().try_into().unwrap();
            assert_eq!(router.poll(zmq::POLLIN, patience), Ok(1));
            let received = receive(&mut router, 9).unwrap().unwrap();
            assert_eq!(received.is_short, is_short, "{version:?}");
        }
    }
}

#[test]
fn with_credit_a_long_frame_arrives_whole_and_uses_it_up() {
    for version in VERSIONS {
        let mut router = asking(FREE);
        let (route, mut peer) = peer_of(&router, version);
        for len in LONG {
            assert!(give_credit(&mut router, &route, cost(len)).unwrap());
            let payload = payload(len);
            for expected in [&payload[..], b""] {
                peer.old_frame(version, LAST, &payload);
                comes(&router, &[expected]);
            }
        }
    }
}

#[test]
fn a_frame_costs_its_length_and_256_bytes() {
    let mut router = asking(FREE);
    let (route, mut peer) = peer_of(&router, Version::V31);
    let payload = payload(1000);
    let mut send_expecting = |router: &Socket, expected: &[u8]| {
        peer.frame(LAST, &payload);
        comes(router, &[expected]);
    };
    assert!(give_credit(&mut router, &route, 2 * cost(1000) - 1).unwrap());
    send_expecting(&router, &payload);
    send_expecting(&router, b"");
    // The insufficient credit is still there.
    assert!(give_credit(&mut router, &route, 1).unwrap());
    send_expecting(&router, &payload);
    send_expecting(&router, b"");
}

#[test]
fn negative_credit_takes_back_even_what_is_not_there() {
    let mut router = asking(FREE);
    let (route, mut peer) = peer_of(&router, Version::V31);
    let payload = payload(1000);
    for (amounts, expected) in [
        ([cost(1000), -1], &b""[..]),
        ([-cost(1000), cost(1000)], b""),
        ([1, 0], &payload),
    ] {
        for amount in amounts {
            assert!(give_credit(&mut router, &route, amount).unwrap());
        }
        peer.frame(LAST, &payload);
        comes(&router, &[expected]);
    }
}

#[test]
fn frames_of_the_free_size_need_no_credit() {
    for version in VERSIONS {
        for free in [FREE, 300, LONGEST] {
            let router = asking(free);
            let (_, mut peer) = peer_of(&router, version);
            let payload = payload(free);
            peer.old_frame(version, LAST, &payload);
            comes(&router, &[&payload]);
        }
    }
}

/// Before ZMTP 2, a length below 255 may take one byte or nine.
#[test]
fn a_length_of_one_byte_needs_credit_too() {
    let mut router = asking(FREE);
    let (route, mut peer) = peer_of(&router, Version::V1);
    let payload = payload(FREE + 1);
    let length = u8::try_from(payload.len() + 1).unwrap();
    let frame = [&[length, LAST][..], &payload].concat();
    peer.say(&frame);
    comes(&router, &[b""]);
    assert!(give_credit(&mut router, &route, cost(FREE + 1)).unwrap());
    peer.say(&frame);
    comes(&router, &[&payload]);
}

#[test]
fn credit_is_for_one_connection() {
    let mut router = asking(FREE);
    let (route, mut peer) = peer_of(&router, Version::V31);
    let (_, mut other) = peer_of(&router, Version::V31);
    assert!(give_credit(&mut router, &route, cost(1000)).unwrap());
    let payload = payload(1000);
    other.frame(LAST, &payload);
    comes(&router, &[b""]);
    peer.frame(LAST, &payload);
    comes(&router, &[&payload]);
}

#[test]
fn credit_for_nobody_is_refused() {
    let mut router = asking(FREE);
    for nobody in [&b""[..], b"nobody", &[0; 5]] {
        assert!(!give_credit(&mut router, nobody, 1).unwrap());
    }
    let (route, peer) = peer_of(&router, Version::V31);
    drop(peer);
    comes(&router, &[b""]);
    while is_connected(&mut router, &route) {
        router.poll(zmq::POLLIN, 1).unwrap();
        while router.recv_multipart(zmq::DONTWAIT).is_ok() {}
    }
    assert!(!give_credit(&mut router, &route, 1).unwrap());
    let mut dealer = zmq::Context::new().socket(zmq::DEALER).unwrap();
    assert!(give_credit(&mut dealer, &route, 1).is_err());
    assert!(ask_credit(&mut dealer, FREE).is_err());
    assert!(ask_credit(&mut router, usize::MAX).is_err());
}

#[test]
fn whoever_asks_for_no_credit_may_give_it() {
    let (mut router, mut dealer) = pair();
    let route = greet(&router, &mut dealer);
    assert!(give_credit(&mut router, &route, i64::MIN).unwrap());
    let (_, mut peer) = peer_of(&router, Version::V31);
    let payload = payload(LONGEST);
    peer.frame(LAST, &payload);
    comes(&router, &[&payload]);
}

#[test]
fn a_message_keeps_the_number_of_its_frames() {
    for version in VERSIONS {
        let router = asking(FREE);
        let (_, mut peer) = peer_of(&router, version);
        let long = payload(LONGEST);
        for frames in [
            [&b"a"[..], &long, b"b"],
            [&long, b"a", &long],
            [&long, &long, &long],
        ] {
            for (flags, frame) in [MORE, MORE, LAST].into_iter().zip(frames) {
                peer.old_frame(version, flags, frame);
            }
            let kept = frames.map(|frame| if frame.len() > FREE { b"" } else { frame });
            comes(&router, &kept);
        }
    }
}

/// A frame that is too long for any credit ends its connection, with and without credit.
#[test]
fn the_greatest_length_holds_with_credit_and_without() {
    for credit in [0, i64::MAX] {
        for version in VERSIONS {
            let mut router = asking(FREE);
            let (route, mut peer) = peer_of(&router, version);
            assert!(give_credit(&mut router, &route, credit).unwrap());
            peer.old_frame(version, LAST, &vec![0; LONGEST + 1]);
            assert!(peer.is_turned_away(), "{version:?}");
        }
    }
}

/// Dropped frames keep their place, however the bytes are split over the decoder's buffer, and while the
/// socket's queue is full.
#[test]
fn dropped_frames_keep_their_place_among_others() {
    for version in VERSIONS {
        let router = asking(FREE);
        let (_, mut peer) = peer_of(&router, version);
        let writer = std::thread::spawn(move || {
            for _ in 0..4 {
                for len in LONG {
                    peer.old_frame(version, LAST, &payload(len));
                    peer.old_frame(version, LAST, &len.to_le_bytes());
                }
            }
            peer
        });
        for _ in 0..4 {
            for len in LONG {
                comes(&router, &[b""]);
                comes(&router, &[&len.to_le_bytes()]);
            }
        }
        writer.join().unwrap();
    }
}

/// How many peers begin a frame and wait.
#[cfg(target_os = "linux")]
const PEERS: usize = 200;

/// Memory is freed when a connection ends, so all peers must be connected at once.
#[test]
#[cfg(target_os = "linux")]
fn long_frames_that_are_never_finished_take_no_memory_without_credit() {
    if env::var_os(BY_ITSELF).is_none() {
        let test = "long_frames_that_are_never_finished_take_no_memory_without_credit";
        run_by_itself(&format!("credit::{test}"));
        return;
    }
    let context = zmq::Context::new();
    let router = asking_of(&context, FREE);
    let long = vec![7; LONGEST];
    let (most, rest) = long.split_at(LONGEST - (10 << 10));
    let mut peers: Vec<_> = iter::repeat_with(|| peer_of(&router, Version::V31).1)
        .take(PEERS)
        .collect();
    let before = most_memory();
    for peer in &mut peers {
        peer.say(&head(LAST, LONGEST));
        peer.say(most);
    }
    let_it_be_seen(&context);
    for peer in &mut peers {
        peer.say(rest);
        comes(&router, &[b""]);
    }
    let taken = most_memory() - before;
    assert!(taken < PEERS * LONGEST / 20, "{taken} bytes");
}
