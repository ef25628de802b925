//! One connection's TLS, between what libzmq reads and writes and what travels.
//!
//! Owns the state of rustls and the rests: bytes that were opened and not yet read, the beginning of a record,
//! sealed bytes that the wire did not take. A connection that is quiet holds none of them: what a read or a
//! write needs for a moment is shared by all connections of a thread. Never waits.

use std::cell::RefCell;
use std::ffi::{CStr, CString};

use rustix::io::Errno;
use rustls::Error;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};

use super::keys::public_of;
use super::{Admit, Ending, PROTOCOL};
use crate::keys::KeyId;

/// The most that is received at once, in bytes.
const RECEIVED: usize = 128 << 10;

/// The most that is sealed at once.
const SEALED: usize = 128 << 10;

/// A record of TLS 1.3: what it holds at most, and how much longer it is at most than what it holds (RFC
/// 8446, section 5.2).
const RECORD: usize = 16 << 10;
const AROUND: usize = 5 + 256;

/// The most that is kept of what came and is not whole: a message of a handshake, which may stand in several
/// records, of the length that rustls takes, and a record behind it.
const BEGUN: usize = (64 << 10) + RECORD + AROUND;

/// What carries sealed bytes: a descriptor that does not block.
pub(super) trait Wire {
    /// As recv(2).
    fn receive(&mut self, bytes: &mut [u8]) -> Result<usize, Errno>;
    /// As send(2), where a wire that takes nothing has taken 0.
    fn send(&mut self, bytes: &[u8]) -> Result<usize, Errno>;
}

/// What [`Connection::flush`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    /// All that was sealed is gone, and more can be sealed.
    All,
    /// The wire takes no more.
    Left,
    /// Nothing can be sealed before something was read.
    NotReady,
    /// The next read says why.
    Broken,
}

/// Which side it is.
enum Side {
    Client(UnbufferedClientConnection),
    Satellite(UnbufferedServerConnection, Admit),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Handshaking,
    Open,
    /// It is of no use any more.
    Broken(Errno),
}

/// How it goes on after a step of rustls.
enum Step {
    /// There may be more in what was received.
    Again,
    /// All of it was taken in, and the handshake goes on.
    Blocked,
    /// All of it was taken in, and data may be sent.
    Ready,
    /// The other end sends no more.
    Closed,
    Failed(Error),
}

/// Bytes of which the first may be gone already.
#[derive(Default)]
struct Rest {
    bytes: Vec<u8>,
    gone: usize,
}

impl Rest {
    fn is_empty(&self) -> bool {
        self.gone == self.bytes.len()
    }

    fn left(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes off the first `count`. Once there is nothing left, it holds no memory.
    fn drop_first(&mut self, count: usize) {
        self.gone += count;
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

/// A connection's TLS.
pub(super) struct Connection {
    side: Side,
    stage: Stage,
    /// The first byte that came.
    first: Option<u8>,
    /// Opened, and not read yet.
    opened: Rest,
    /// The beginning of a record.
    begun: Vec<u8>,
    /// Sealed, and not sent yet.
    sealed: Rest,
    /// Whether data may be sent, and libzmq does not know yet.
    is_news: bool,
    user: Option<CString>,
    /// The key whose connections it is counted among.
    entered: Option<KeyId>,
}

/// What a read or write needs for a moment.
struct Scratch {
    received: Box<[u8]>,
    sealed: Box<[u8]>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        received: vec![0; RECEIVED + BEGUN].into(),
        sealed: vec![0; SEALED + SEALED.div_ceil(RECORD) * AROUND].into(),
    });
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let (Side::Satellite(_, door), Some(key)) = (&self.side, self.entered) {
            door.leave(key);
        }
    }
}

impl Connection {
    pub(super) fn client(tls: UnbufferedClientConnection) -> Self {
        Self::new(Side::Client(tls))
    }

    pub(super) fn satellite(tls: UnbufferedServerConnection, admit: Admit) -> Self {
        Self::new(Side::Satellite(tls, admit))
    }

    fn new(side: Side) -> Self {
        Self {
            side,
            stage: Stage::Handshaking,
            first: None,
            opened: Rest::default(),
            begun: Vec::new(),
            sealed: Rest::default(),
            is_news: false,
            user: None,
            entered: None,
        }
    }

    /// Fills `data` with what has been opened; 0 at the end.
    pub(super) fn read(&mut self, wire: &mut dyn Wire, data: &mut [u8]) -> Result<usize, Errno> {
        if !self.opened.is_empty() {
            let left = self.opened.left();
            let count = left.len().min(data.len());
            data[..count].copy_from_slice(&left[..count]);
            self.opened.drop_first(count);
            return Ok(count);
        }
        SCRATCH.with_borrow_mut(|scratch| self.receive(wire, &mut scratch.received, data))
    }

    fn receive(
        &mut self,
        wire: &mut dyn Wire,
        scratch: &mut [u8],
        data: &mut [u8],
    ) -> Result<usize, Errno> {
        loop {
            if let Stage::Broken(errno) = self.stage {
                return Err(errno);
            }
            let begun = self.begun.len();
            if begun > BEGUN {
                self.stage = Stage::Broken(Ending::Strange.errno());
                continue;
            }
            let count = wire.receive(&mut scratch[begun..begun + RECEIVED])?;
            if count == 0 {
                return Ok(0);
            }
            scratch[..begun].copy_from_slice(&self.begun);
            self.first.get_or_insert(scratch[0]);
            let filled = self.take_in(&mut scratch[..begun + count], data);
            // What a handshake answers, or why it does not go on.
            let _ = self.send(wire);
            if filled > 0 {
                return Ok(filled);
            }
        }
    }

    /// Opens what was received; returns how much of `data` was filled with it.
    fn take_in(&mut self, received: &mut [u8], data: &mut [u8]) -> usize {
        let (mut used, mut filled) = (0, 0);
        loop {
            let mut deliver = |opened: &[u8], rest: &mut Rest| {
                let count = opened.len().min(data.len() - filled);
                data[filled..filled + count].copy_from_slice(&opened[..count]);
                filled += count;
                rest.add(&opened[count..]);
            };
            let (count, step) = self.step(&mut received[used..], &mut deliver);
            used += count;
            match step {
                Step::Again => {}
                Step::Blocked => break,
                Step::Ready => {
                    self.is_ready();
                    // What came along with the end of a handshake that is refused after all is nobody's.
                    if matches!(self.stage, Stage::Broken(_)) {
                        self.opened = Rest::default();
                        filled = 0;
                    }
                    break;
                }
                // What comes behind that is nobody's.
                Step::Closed => {
                    self.stage = Stage::Broken(Errno::PIPE);
                    break;
                }
                Step::Failed(error) => {
                    self.stage = Stage::Broken(Ending::from_error(&error, self.first).errno());
                    used += self.say_why(&error, &mut received[used..]);
                    break;
                }
            }
        }
        self.begun.clear();
        self.begun.extend_from_slice(&received[used..]);
        if self.begun.is_empty() {
            self.begun = Vec::new();
        }
        filled
    }

    /// Has rustls seal what it had to say up to the alert that tells the other end what is wrong; returns how
    /// much of `received` it has no use for. rustls is not to be asked beyond the alert: it would look at what
    /// is wrong once more.
    fn say_why(&mut self, error: &Error, received: &mut [u8]) -> usize {
        let mut used = 0;
        let mut is_said = matches!(error, Error::AlertReceived(_));
        while !is_said {
            let before = self.sealed.bytes.len();
            let (count, step) = self.step(&mut received[used..], &mut |_, _| {});
            used += count;
            is_said = !matches!(step, Step::Again) || is_alert(&self.sealed.bytes[before..]);
        }
        used
    }

    /// One step of rustls; returns how many of the first bytes were used.
    fn step(
        &mut self,
        received: &mut [u8],
        deliver: &mut dyn FnMut(&[u8], &mut Rest),
    ) -> (usize, Step) {
        let Self { opened, sealed, .. } = self;
        let mut deliver = |bytes: &[u8]| deliver(bytes, opened);
        match &mut self.side {
            Side::Client(tls) => step(tls.process_tls_records(received), &mut deliver, sealed),
            Side::Satellite(tls, _) => {
                step(tls.process_tls_records(received), &mut deliver, sealed)
            }
        }
    }

    /// Data may be sent: the handshake is over for this side.
    fn is_ready(&mut self) {
        if self.stage != Stage::Handshaking {
            return;
        }
        (self.stage, self.is_news) = (Stage::Open, true);
        let protocol = match &self.side {
            Side::Client(tls) => tls.alpn_protocol(),
            Side::Satellite(tls, _) => tls.alpn_protocol(),
        };
        // Who names none would be let through by TLS.
        if protocol != Some(PROTOCOL) {
            self.stage = Stage::Broken(Ending::Strange.errno());
            return;
        }
        if let Side::Satellite(tls, admit) = &self.side {
            let key = tls.peer_certificates().and_then(|keys| keys.first());
            let public = key.and_then(|key: &CertificateDer<'_>| public_of(key));
            let Some(id) = public.and_then(|public| admit.admit(&public)) else {
                self.stage = Stage::Broken(Ending::Refused.errno());
                return;
            };
            if !admit.enter(id) {
                // It may come again.
                self.stage = Stage::Broken(Errno::CONNRESET);
                return;
            }
            self.entered = Some(id);
            self.user = CString::new(id.0.to_string()).ok();
        }
    }

    /// Seals some of `data` and sends it; returns how much was taken.
    pub(super) fn write(&mut self, wire: &mut dyn Wire, data: &[u8]) -> Result<usize, Errno> {
        if self.flush(wire) != Flushed::All {
            return Ok(0);
        }
        let taken = &data[..data.len().min(SEALED)];
        SCRATCH.with_borrow_mut(|scratch| {
            let sealed = self.seal(taken, &mut scratch.sealed)?;
            let sealed = &scratch.sealed[..sealed];
            let sent = wire.send(sealed)?;
            self.sealed.add(&sealed[sent..]);
            Ok(taken.len())
        })
    }

    fn seal(&mut self, data: &[u8], room: &mut [u8]) -> Result<usize, Errno> {
        // rustls has its places in what it was shown and has not used.
        let begun = &mut self.begun[..];
        match &mut self.side {
            Side::Client(tls) => seal(tls.process_tls_records(begun), data, room),
            Side::Satellite(tls, _) => seal(tls.process_tls_records(begun), data, room),
        }
    }

    /// Sends what was sealed.
    pub(super) fn flush(&mut self, wire: &mut dyn Wire) -> Flushed {
        if matches!(self.stage, Stage::Broken(_)) {
            return Flushed::Broken;
        }
        // A client speaks first, and keys are renewed now and then.
        if self.sealed.is_empty() {
            let mut begun = std::mem::take(&mut self.begun);
            self.take_in(&mut begun, &mut []);
        }
        self.is_news = false;
        match self.send(wire) {
            Err(_) => Flushed::Broken,
            Ok(()) if !self.sealed.is_empty() => Flushed::Left,
            Ok(()) if self.stage == Stage::Open => Flushed::All,
            Ok(()) => Flushed::NotReady,
        }
    }

    fn send(&mut self, wire: &mut dyn Wire) -> Result<(), Errno> {
        while !self.sealed.is_empty() {
            let sent = wire.send(self.sealed.left())?;
            if sent == 0 {
                break;
            }
            self.sealed.drop_first(sent);
        }
        Ok(())
    }

    /// Whether [`Connection::flush`] has something to do that it did not have before.
    pub(super) fn wants_flush(&self) -> bool {
        self.is_news || !self.sealed.is_empty()
    }

    /// Whether there is something to read that the wire will not tell of.
    pub(super) fn has_input(&self) -> bool {
        !self.opened.is_empty() || matches!(self.stage, Stage::Broken(_))
    }

    /// Who is at the other end.
    pub(super) fn user(&self) -> Option<&CStr> {
        self.user.as_deref()
    }
}

/// Whether a record is an alert: in the open it says so; sealed, nothing else is as short, which is two bytes,
/// their type and the mark of the cipher (16 bytes).
fn is_alert(record: &[u8]) -> bool {
    match record.first() {
        Some(0x15) => true,
        Some(0x17) => record.len() == 5 + 2 + 1 + 16,
        _ => false,
    }
}

fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    deliver: &mut dyn FnMut(&[u8]),
    sealed: &mut Rest,
) -> (usize, Step) {
    let mut used = status.discard;
    let step = match status.state {
        Err(error) => Step::Failed(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        used += record.discard;
                        deliver(record.payload);
                    }
                    Err(error) => return (used, Step::Failed(error)),
                }
            }
            Step::Again
        }
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
                let mut bytes = vec![0; needed.required_size];
                let count = data.encode(&mut bytes).unwrap_or_default();
                sealed.add(&bytes[..count]);
            }
            Step::Again
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Step::Again
        }
        Ok(ConnectionState::BlockedHandshake) => Step::Blocked,
        Ok(ConnectionState::WriteTraffic(_)) => Step::Ready,
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Step::Closed,
        Ok(_) => Step::Failed(Error::General("early data was not asked for".to_owned())),
    };
    (used, step)
}

fn seal<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    data: &[u8],
    room: &mut [u8],
) -> Result<usize, Errno> {
    match status.state {
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            traffic.encrypt(data, room).map_err(|_| Errno::PROTO)
        }
        _ => Err(Errno::PROTO),
    }
}
