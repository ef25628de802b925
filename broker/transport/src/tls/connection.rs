//! The TLS of one connection, between libzmq's reads and writes and the wire.
//!
//! This module owns the state of rustls and all leftover bytes: opened bytes that were not read yet, the
//! beginning of a record, and sealed bytes that the wire did not accept. A quiet connection holds none of
//! them. The temporary buffers of reads and writes are shared by all connections of a thread. This module
//! never waits.

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
use skypipe_protocol::KeyId;

/// The maximum number of bytes received at once.
const RECEIVED: usize = 128 << 10;

/// The maximum number of bytes sealed at once.
const SEALED: usize = 128 << 10;

/// A TLS 1.3 record: the maximum length of its contents, and (`AROUND`) how much longer than its contents a
/// record may be, in bytes (RFC 8446, section 5.2).
const RECORD: usize = 16 << 10;
const AROUND: usize = 5 + 256;

/// The maximum number of bytes kept of incomplete input. A handshake message may span several records, up to
/// the length that rustls accepts, and a record may follow it.
const BEGUN: usize = (64 << 10) + RECORD + AROUND;

/// The carrier of sealed bytes: a non-blocking descriptor.
pub(super) trait Wire {
    /// As recv(2).
    fn receive(&mut self, bytes: &mut [u8]) -> Result<usize, Errno>;
    /// As send(2), but returns 0 if the wire accepts nothing.
    fn send(&mut self, bytes: &[u8]) -> Result<usize, Errno>;
}

/// The result of [`Connection::flush`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    /// All sealed bytes were sent, and more can be sealed.
    All,
    /// The wire accepts no more.
    Left,
    /// Nothing can be sealed before something was read.
    NotReady,
    /// The connection is broken. The next read returns the reason.
    Broken,
}

/// The side of the connection, client or satellite.
enum Side {
    Client(UnbufferedClientConnection),
    Satellite(UnbufferedServerConnection, Admit),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Handshaking,
    Open,
    /// The connection can no longer be used.
    Broken(Errno),
}

/// How to continue after a step of rustls.
enum Step {
    /// The received bytes may contain more.
    Again,
    /// All received bytes were processed, and the handshake continues.
    Blocked,
    /// All received bytes were processed, and data may be sent.
    Ready,
    /// The other end sends no more.
    Closed,
    Failed(Error),
}

/// Bytes, some of which may already be consumed from the front.
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

    /// Removes the first `count` bytes. An empty rest holds no memory.
    fn drop_first(&mut self, count: usize) {
        self.gone += count;
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

/// The TLS state of a connection.
pub(super) struct Connection {
    side: Side,
    stage: Stage,
    /// The first byte received.
    first: Option<u8>,
    /// Opened bytes that were not read yet.
    opened: Rest,
    /// The beginning of a record.
    begun: Vec<u8>,
    /// Sealed bytes that were not sent yet.
    sealed: Rest,
    /// Whether data may be sent and libzmq has not been told.
    is_news: bool,
    user: Option<CString>,
    /// The key for which this connection was counted.
    entered: Option<KeyId>,
}

/// Temporary buffers for a read or a write.
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

    /// Fills `data` with opened bytes. Returns 0 at the end.
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
            // Sends the handshake's answer, or the reason why the handshake failed.
            let _ = self.send(wire);
            if filled > 0 {
                return Ok(filled);
            }
        }
    }

    /// Opens received bytes. Returns how much of `data` was filled.
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
                    // Data that arrived with the end of a refused handshake is dropped.
                    if matches!(self.stage, Stage::Broken(_)) {
                        self.opened = Rest::default();
                        filled = 0;
                    }
                    break;
                }
                // Data after the close is dropped.
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

    /// Makes rustls seal everything up to the alert that tells the other end what is wrong. Returns how many
    /// bytes of `received` were skipped. rustls must not be called after the alert: it would process the
    /// faulty input again.
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

    /// One step of rustls. Returns how many of the first bytes were used.
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

    /// Handles the end of the handshake on this side: data may be sent.
    fn is_ready(&mut self) {
        if self.stage != Stage::Handshaking {
            return;
        }
        (self.stage, self.is_news) = (Stage::Open, true);
        let protocol = match &self.side {
            Side::Client(tls) => tls.alpn_protocol(),
            Side::Satellite(tls, _) => tls.alpn_protocol(),
        };
        // TLS itself would accept a peer that names no protocol.
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
                // The client may try again later.
                self.stage = Stage::Broken(Errno::CONNRESET);
                return;
            }
            self.entered = Some(id);
            self.user = CString::new(id.0.to_string()).ok();
        }
    }

    /// Seals some of `data` and sends it. Returns how many bytes were accepted.
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
        // rustls keeps offsets into the input that it was given and has not used.
        let begun = &mut self.begun[..];
        match &mut self.side {
            Side::Client(tls) => seal(tls.process_tls_records(begun), data, room),
            Side::Satellite(tls, _) => seal(tls.process_tls_records(begun), data, room),
        }
    }

    /// Sends sealed bytes.
    pub(super) fn flush(&mut self, wire: &mut dyn Wire) -> Flushed {
        if matches!(self.stage, Stage::Broken(_)) {
            return Flushed::Broken;
        }
        // A client speaks first, and keys are renewed from time to time.
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

    /// Whether [`Connection::flush`] has new work.
    pub(super) fn wants_flush(&self) -> bool {
        self.is_news || !self.sealed.is_empty()
    }

    /// Whether there is something to read that the wire does not signal.
    pub(super) fn has_input(&self) -> bool {
        !self.opened.is_empty() || matches!(self.stage, Stage::Broken(_))
    }

    /// The id of the other end's key as text. libzmq attaches it to each message.
    pub(super) fn user(&self) -> Option<&CStr> {
        self.user.as_deref()
    }
}

/// Whether a record is an alert. A plaintext record says so. Only a sealed alert is this short: two bytes,
/// the type, and the cipher's tag (16 bytes).
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
