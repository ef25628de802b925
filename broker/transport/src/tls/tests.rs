//! Both sides over a wire in memory, and what an attacker on the wire can do.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;

use super::connection::{Connection, Flushed, Wire};
use super::layer::Role;
use super::*;
use skypipe_protocol::secret::Secret;

/// One end of a wire.
#[derive(Default)]
struct End {
    comes: VecDeque<u8>,
    goes: Vec<u8>,
    /// How many bytes the wire accepts before it is full.
    room: usize,
    is_over: bool,
}

impl Wire for End {
    fn receive(&mut self, bytes: &mut [u8]) -> Result<usize, Errno> {
        if self.comes.is_empty() {
            return if self.is_over {
                Ok(0)
            } else {
                Err(Errno::AGAIN)
            };
        }
        let count = bytes.len().min(self.comes.len());
        for (place, byte) in bytes.iter_mut().zip(self.comes.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let count = bytes.len().min(self.room - self.goes.len());
        self.goes.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
}

/// Two connections, and the bytes in transit between them.
struct Link {
    client: Connection,
    satellite: Connection,
    near: End,
    far: End,
    heard: Vec<u8>,
    heard_there: Vec<u8>,
}

fn pair(number: u8) -> SigningPair {
    SigningPair::of(Secret::new([number; 32]))
}

fn known(number: u8) -> Admit {
    let public = pair(number).public;
    Arc::new(move |key: &[u8; 32]| (*key == public).then_some(KeyId(7)))
}

fn client_of(layer: &Layer) -> Connection {
    let Role::Client(config) = layer.role.clone() else {
        panic!("it is a client's");
    };
    let name = ServerName::try_from("satellite.skypipe").expect("a name");
    Connection::client(UnbufferedClientConnection::new(config, name).expect("it is good"))
}

fn satellite_of(layer: &Layer) -> Connection {
    let Role::Satellite(config, admit) = layer.role.clone() else {
        panic!("it is a satellite's");
    };
    Connection::satellite(
        UnbufferedServerConnection::new(config).expect("it is good"),
        admit,
    )
}

impl Link {
    /// A client and a satellite. `own` is the client's key, `expected` is the satellite key that the client
    /// expects, and `is` is the satellite's actual key.
    fn new(own: u8, expected: u8, is: u8, admit: Admit) -> Self {
        let client = Layer::client(&pair(own), pair(expected).public).expect("good keys");
        let satellite = Layer::satellite(&pair(is), admit).expect("good keys");
        let end = || End {
            room: 1 << 20,
            ..End::default()
        };
        Self {
            client: client_of(&client),
            satellite: satellite_of(&satellite),
            near: end(),
            far: end(),
            heard: Vec::new(),
            heard_there: Vec::new(),
        }
    }

    /// Runs both sides until nothing is in transit. Returns each side's error, if any.
    fn settle(&mut self) -> (Option<Ending>, Option<Ending>) {
        let (mut here, mut there) = (None, None);
        for _ in 0..40 {
            self.client.flush(&mut self.near);
            self.far.comes.extend(self.near.goes.drain(..));
            there = there.or(hear(
                &mut self.satellite,
                &mut self.far,
                &mut self.heard_there,
            ));
            self.satellite.flush(&mut self.far);
            self.near.comes.extend(self.far.goes.drain(..));
            here = here.or(hear(&mut self.client, &mut self.near, &mut self.heard));
        }
        (here, there)
    }
}

fn hear(connection: &mut Connection, wire: &mut End, heard: &mut Vec<u8>) -> Option<Ending> {
    let mut bytes = [0; 1000];
    loop {
        match connection.read(wire, &mut bytes) {
            Ok(0) | Err(Errno::AGAIN) => return None,
            Ok(count) => heard.extend_from_slice(&bytes[..count]),
            Err(errno) => return Ending::of(errno.raw_os_error().unsigned_abs()),
        }
    }
}

fn text(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

#[test]
fn who_is_known_is_heard_and_answered() {
    let mut link = Link::new(1, 2, 2, known(1));
    assert_eq!(link.settle(), (None, None));
    let user = link.satellite.user().map(std::ffi::CStr::to_bytes);
    assert_eq!(user, Some(&b"7"[..]));
    for length in [1, 100, 16 << 10, 300_000] {
        let sent = text(length);
        let (mut up, mut down) = (0, 0);
        while up < length || down < length {
            up += link
                .client
                .write(&mut link.near, &sent[up..])
                .expect("it is open");
            down += link
                .satellite
                .write(&mut link.far, &sent[down..])
                .expect("it is open");
            assert_eq!(link.settle(), (None, None));
        }
        assert!(link.heard == sent && link.heard_there == sent, "{length}");
        link.heard.clear();
        link.heard_there.clear();
    }
    assert!(!link.client.has_input() && !link.satellite.has_input());
}

#[test]
fn nothing_can_be_written_before_the_handshake_is_over() {
    let mut link = Link::new(1, 2, 2, known(1));
    assert_eq!(link.satellite.flush(&mut link.far), Flushed::NotReady);
    assert_eq!(link.satellite.write(&mut link.far, b"early"), Ok(0));
    assert!(link.far.goes.is_empty());
    assert_eq!(link.client.flush(&mut link.near), Flushed::NotReady);
    assert!(!link.near.goes.is_empty(), "a client speaks first");
    link.settle();
    assert_eq!(link.client.flush(&mut link.near), Flushed::All);
}

#[test]
fn a_stranger_is_refused_and_told() {
    let mut link = Link::new(3, 2, 2, known(1));
    let (here, there) = link.settle();
    assert_eq!(here, Some(Ending::Refused));
    assert!(there.is_some());
    assert!(link.satellite.user().is_none());
    assert_eq!(link.satellite.flush(&mut link.far), Flushed::Broken);
}

#[test]
fn what_came_along_with_the_handshake_of_one_who_was_revoked_meanwhile_is_not_heard() {
    let public = pair(1).public;
    let was_asked = AtomicBool::new(false);
    let once = move |key: &[u8; 32]| {
        let is_first = !was_asked.swap(true, Ordering::Relaxed);
        (is_first && *key == public).then_some(KeyId(7))
    };
    let mut link = Link::new(1, 2, 2, Arc::new(once));
    link.client.flush(&mut link.near);
    link.far.comes.extend(link.near.goes.drain(..));
    assert_eq!(
        hear(&mut link.satellite, &mut link.far, &mut link.heard_there),
        None
    );
    link.near.comes.extend(link.far.goes.drain(..));
    assert_eq!(
        hear(&mut link.client, &mut link.near, &mut link.heard),
        None
    );
    let sent = text(2000);
    let written = link.client.write(&mut link.near, &sent);
    assert_eq!(written, Ok(sent.len()), "it does not know yet");
    let (_, there) = link.settle();
    assert_eq!(there, Some(Ending::Refused));
    assert!(link.heard_there.is_empty());
}

#[test]
fn an_impostor_gets_nothing() {
    let mut link = Link::new(1, 2, 4, known(1));
    let (here, there) = link.settle();
    assert_eq!(here, Some(Ending::Impostor));
    assert!(there.is_some());
    assert!(link.satellite.user().is_none(), "not even who it is");
}

#[test]
fn what_speaks_without_tls_is_known_by_its_first_byte() {
    for (greeting, ending) in [
        (&b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0\0\0"[..], Ending::Plain),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Ending::Strange),
        (b"\0\0\0\0\0\0\0\0", Ending::Strange),
    ] {
        let mut link = Link::new(1, 2, 2, known(1));
        link.client.flush(&mut link.near);
        link.near.comes.extend(greeting);
        assert_eq!(
            hear(&mut link.client, &mut link.near, &mut Vec::new()),
            Some(ending)
        );
        link.far.comes.extend(greeting);
        let there = hear(&mut link.satellite, &mut link.far, &mut Vec::new());
        assert_eq!(there, Some(ending));
    }
}

#[test]
fn whatever_is_changed_on_the_way_ends_the_connection() {
    // The first three bytes of a record have no meaning (RFC 8446, section 5.2), and changing them has no
    // effect.
    for place in [3, 4, 5, 20, 1000] {
        let mut link = Link::new(1, 2, 2, known(1));
        link.settle();
        link.client
            .write(&mut link.near, &text(2000))
            .expect("it is open");
        link.near.goes[place] ^= 1;
        // A record that appears longer is waited for, but not for ever.
        link.client
            .write(&mut link.near, &text(60_000))
            .expect("it is open");
        let (_, there) = link.settle();
        assert!(there.is_some(), "{place}");
        assert!(link.heard_there.is_empty(), "{place}");
    }
}

#[test]
fn a_record_that_is_repeated_or_left_out_ends_the_connection() {
    for is_repeated in [true, false] {
        let mut link = Link::new(1, 2, 2, known(1));
        link.settle();
        link.client
            .write(&mut link.near, b"first")
            .expect("it is open");
        let first = std::mem::take(&mut link.near.goes);
        if is_repeated {
            link.near.goes = [first.clone(), first].concat();
        } else {
            link.client
                .write(&mut link.near, b"second")
                .expect("it is open");
        }
        let (_, there) = link.settle();
        assert!(there.is_some());
        let heard = if is_repeated { &b"first"[..] } else { b"" };
        assert_eq!(link.heard_there, heard);
    }
}

#[test]
fn a_connection_that_was_cut_is_only_over() {
    let mut link = Link::new(1, 2, 2, known(1));
    link.settle();
    link.client
        .write(&mut link.near, &text(2000))
        .expect("it is open");
    link.near.goes.truncate(1000);
    link.settle();
    assert!(link.heard_there.is_empty());
    link.far.is_over = true;
    assert_eq!(link.satellite.read(&mut link.far, &mut [0; 10]), Ok(0));
}

#[test]
fn a_wire_that_takes_little_gets_all_in_the_end() {
    let mut link = Link::new(1, 2, 2, known(1));
    link.settle();
    let sent = text(100_000);
    link.near.room = 10;
    let taken = link
        .client
        .write(&mut link.near, &sent)
        .expect("it is open");
    assert!(taken > 0 && link.client.wants_flush());
    assert_eq!(link.client.write(&mut link.near, b"more"), Ok(0));
    assert_eq!(link.client.flush(&mut link.near), Flushed::Left);
    link.near.room = 1 << 20;
    assert_eq!(link.settle(), (None, None));
    assert_eq!(link.heard_there, sent[..taken]);
    assert!(!link.client.wants_flush());
}

/// A client that is correct except for one change, with a genuine satellite.
fn changed(change: impl FnOnce(&mut ClientConfig)) -> Link {
    let mut link = Link::new(1, 2, 2, known(1));
    let layer = Layer::client(&pair(1), pair(2).public).expect("good keys");
    let Role::Client(config) = layer.role.clone() else {
        panic!("it is a client's");
    };
    let mut config = (*config).clone();
    change(&mut config);
    let name = ServerName::try_from("satellite.skypipe").expect("a name");
    let tls = UnbufferedClientConnection::new(Arc::new(config), name).expect("it is good");
    link.client = Connection::client(tls);
    link
}

#[test]
fn who_speaks_another_protocol_or_names_none_is_refused() {
    for protocols in [
        vec![b"http/1.1".to_vec()],
        vec![b"skypipe/2".to_vec()],
        vec![],
    ] {
        let what = format!("{protocols:?}");
        let mut link = changed(|config| config.alpn_protocols = protocols);
        let (here, there) = link.settle();
        assert!(
            here.is_some() && there.is_some(),
            "{what}: {here:?}, {there:?}"
        );
        assert!(link.satellite.user().is_none());
    }
}

/// A key that is sent as a certificate.
#[derive(Debug)]
struct AsCertificate(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for AsCertificate {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn a_certificate_in_place_of_a_key_is_refused() {
    let key = Arc::new(AsCertificate(certified(&pair(1)).expect("a good key")));
    let mut link = changed(|config| config.client_auth_cert_resolver = key);
    let (_, there) = link.settle();
    assert!(there.is_some());
    assert!(link.satellite.user().is_none());
}

#[test]
fn a_conversation_that_is_played_again_lets_nobody_in() {
    let mut link = Link::new(1, 2, 2, known(1));
    let mut said = Vec::new();
    for _ in 0..10 {
        link.client.flush(&mut link.near);
        said.extend_from_slice(&link.near.goes);
        link.far.comes.extend(link.near.goes.drain(..));
        hear(&mut link.satellite, &mut link.far, &mut link.heard_there);
        link.near.comes.extend(link.far.goes.drain(..));
        hear(&mut link.client, &mut link.near, &mut link.heard);
    }
    assert!(link.satellite.user().is_some());
    let mut again = Link::new(1, 2, 2, known(1));
    again.far.comes.extend(&said);
    let ending = hear(&mut again.satellite, &mut again.far, &mut Vec::new());
    assert_eq!(ending, Some(Ending::Strange));
    assert!(again.satellite.user().is_none());
    let layer = Layer::satellite(&pair(2), known(1)).expect("good keys");
    let Role::Satellite(config, _) = &layer.role else {
        panic!("it is a satellite's");
    };
    assert_eq!(
        (config.max_early_data_size, config.send_tls13_tickets),
        (0, 0)
    );
}

#[test]
fn who_only_speaks_the_version_before_is_refused() {
    // Contains a cipher that real clients offer too, but fixed bytes instead of random ones.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    let mut link = Link::new(1, 2, 2, known(1));
    link.far.comes.extend(&hello);
    let ending = hear(&mut link.satellite, &mut link.far, &mut Vec::new());
    assert_eq!(ending, Some(Ending::Strange));
    assert_eq!(
        link.far.goes.first(),
        Some(&0x15),
        "an alert, and nothing else"
    );
}
