//! Anything may come in: nothing that a peer sends ends the satellite or makes it hold more than its
//! budget. Run with `cargo fuzz run decode`.

#![no_main]

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use skypipe_broker::broker::{Broker, Input, Peer, Settings};
use skypipe_broker::store::Memory;
use skypipe_broker::v01;
use skypipe_protocol::{Hello, MAGIC, Reply, Request, decode, encode};
use uuid::Uuid;

const MEMORY: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let _ = decode::<Request>(data);
    let _ = decode::<Reply>(data);
    let mut broker = Broker::new(settings(), Memory::default());
    let peer = Peer(Bytes::from_static(b"peer"));
    let hello = Request::Hello(Hello {
        client: Uuid::from_u128(1),
        revision: 1,
        program: String::new(),
    });
    let hello = vec![Bytes::from_static(MAGIC), Bytes::from(encode(&hello))];
    feed(&mut broker, &peer, hello);
    // 255 parts messages, 254 frames.
    for message in data.split(|byte| *byte == 255) {
        for magic in [MAGIC, v01::MAGIC] {
            let mut frames = vec![Bytes::from_static(magic)];
            frames.extend(
                message
                    .split(|byte| *byte == 254)
                    .map(Bytes::copy_from_slice),
            );
            feed(&mut broker, &peer, frames);
        }
    }
    assert!(broker.used() <= MEMORY * 2, "{}", broker.used());
});

fn feed(broker: &mut Broker<Memory>, peer: &Peer, frames: Vec<Bytes>) {
    broker.handle(
        Duration::ZERO,
        Input::Received {
            key: None,
            peer: peer.clone(),
            frames,
        },
    );
    while broker.poll().is_some() {}
}

fn settings() -> Settings {
    Settings {
        satellite: Uuid::nil(),
        program: "skypipe 0.0.0".to_owned(),
        since: 0,
        pid: 0,
        memory: MEMORY,
        quota: u64::MAX,
        writer_lost: Duration::from_secs(60),
        listener_lost: Duration::from_secs(10),
        is_local: false,
        idle: None,
        stoppable: false,
        clients: 10,
    }
}
