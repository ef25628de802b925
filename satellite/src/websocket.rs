//! A WebSocket (RFC 6455) as a stream of bytes.
//!
//! Owns how bytes become messages: each write is one binary message, and the boundaries of messages
//! mean nothing. Never decides who may connect.

pub(crate) mod listener;

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;

use bytes::{Buf as _, Bytes};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::relay::Outer;

/// The most bytes in one message that is sent. Messages of up to twice this size are accepted.
const LONGEST: usize = 32 << 10;

/// The subprotocol in the request, so that another kind of server refuses it.
pub const PROTOCOL: &str = "skypipe";

/// The limits of a connection. They bound what a stranger can make this process store.
#[must_use]
pub fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(LONGEST / 2)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * LONGEST)
        .max_message_size(Some(2 * LONGEST))
        .max_frame_size(Some(2 * LONGEST))
}

/// A WebSocket after its handshake.
pub struct Messages<S: Read + Write> {
    socket: WebSocket<S>,
    /// Bytes that were received and not read yet.
    received: Bytes,
}

impl<S: Read + Write> Messages<S> {
    /// The stream of bytes of a WebSocket after its handshake.
    #[must_use]
    pub fn new(socket: WebSocket<S>) -> Self {
        Self {
            socket,
            received: Bytes::new(),
        }
    }

    /// The client's end of a WebSocket, after a handshake over `stream`.
    #[must_use]
    pub fn client(stream: S) -> Self {
        let socket = WebSocket::from_raw_socket(stream, Role::Client, Some(limits()));
        Self::new(socket)
    }
}

impl<S: Read + Write> Read for Messages<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.received.is_empty() {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => self.received = bytes,
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    return Ok(0);
                }
                Ok(Message::Text(_) | Message::Frame(_)) => {
                    return Err(ErrorKind::InvalidData.into());
                }
                Err(error) => return Err(fault(error)),
            }
        }
        let count = buffer.len().min(self.received.len());
        self.received.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl<S: Read + Write> Write for Messages<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(LONGEST);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..count]));
        match self.socket.write(message) {
            Ok(()) => Ok(count),
            // The message was accepted, and is sent with the next flush.
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(count),
            Err(error) => Err(fault(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush().map_err(fault)
    }
}

impl<S: Outer> Outer for Messages<S> {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().descriptor()
    }
}

fn fault(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::WriteBufferFull(_) => ErrorKind::WouldBlock.into(),
        other => io::Error::other(other),
    }
}
