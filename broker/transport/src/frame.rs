//! Sends and receives messages of bytes on a ZeroMQ socket, without copying the large ones.
//!
//! This module owns the calls about messages and sockets that the `zmq` crate lacks: sending shared bytes, a
//! ROUTER's notification that a peer has gone, whether a peer is still there, the end of a monitor, binding
//! without a panic, connecting over an existing stream, credit for large frames, and numeric options. The
//! loops of both the satellite and the client use it. It never decides what a message means, nor when to send
//! one.
//!
//! Only this module, `borrowing` and `tls::layer` contain unsafe code. This is why it is sound. Sockets are
//! borrowed, so they are open during a call. A payload is lent to libzmq together with its own reference,
//! which libzmq returns exactly once, on any thread, through [`release`]; [`Bytes`] may be dropped on any
//! thread. libzmq only reads what it was lent: over `tcp` and `ipc` it writes the bytes to a descriptor, or
//! seals them into its own memory. (It would write into them over `ws`, and hand them out for writing over
//! `inproc`; this program uses neither.)

#![expect(
    unsafe_code,
    reason = "zmq copies each payload for each send; the module says the rest"
)]

use std::ffi::{CStr, CString, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd};

use bytes::Bytes;
use zmq::Socket;

/// Frames of up to this many bytes are copied when sent. A copy is cheaper than the two allocations with
/// which libzmq tracks a shared frame.
const COPY_SENT: usize = 8 << 10;

/// Frames of fewer bytes are copied when received. libzmq returns frames that fit into its 8 KiB receive
/// buffer as references to that buffer, so one waiting short line would keep the whole buffer alive. Longer
/// frames have their own memory. Twice the buffer size is safely beyond the limit.
const COPY_RECEIVED: usize = 16 << 10;

/// `ZMQ_ROUTER_NOTIFY` and its value `ZMQ_NOTIFY_DISCONNECT` from libzmq's draft API, which `zmq-sys` omits.
const ROUTER_NOTIFY: c_int = 97;
const NOTIFY_DISCONNECT: c_int = 2;

/// `ZMQ_USE_FD`. Our libzmq supports it for connections, too (`patches/ipc_connecter.cpp.patch`).
const USE_FD: c_int = 89;

/// `ZMQ_ROUTER_FREE_FRAME` and `ZMQ_ROUTER_CREDIT`, which only our libzmq has (`patches/credit.hpp`).
const ROUTER_FREE_FRAME: c_int = 0x5b1;
const ROUTER_CREDIT: c_int = 0x5b2;

/// libzmq's name for the property that holds a connection's name from the record layer.
const USER_ID: &CStr = c"User-Id";

/// The result of [`zmq_msg_routing_id`] for a frame whose bytes were dropped (`patches/credit.hpp`).
const DROPPED_FRAME: u32 = 1;

unsafe extern "C" {
    /// Also a draft call: what a ROUTER knows of a peer, or -1 if it has no peer of this name.
    fn zmq_socket_get_peer_state(
        socket: *mut c_void,
        routing_id: *const c_void,
        size: usize,
    ) -> c_int;

    /// Also a draft call. Here it tells whether a frame's bytes were dropped (`patches/credit.hpp`).
    fn zmq_msg_routing_id(message: *mut zmq_sys::zmq_msg_t) -> u32;
}

/// What a socket did with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The message is in the connection's queue.
    Taken,
    /// The queue is full. Nothing was sent.
    Full,
    /// The ROUTER has no connection with this routing id. Nothing was sent.
    Unreachable,
}

/// Passes a message of at least one frame to `socket` without waiting. The routing id `route` goes before
/// `frames` and is only for a ROUTER. Large frames are shared with the socket, not copied.
///
/// # Errors
///
/// Any libzmq error that is not an outcome in [`Sent`]. The socket can no longer be used then.
pub fn send(socket: &mut Socket, route: Option<&Bytes>, frames: &[Bytes]) -> io::Result<Sent> {
    send_all(socket, route, frames, COPY_SENT)
}

/// As [`send`], but the last frame is lent whatever its length. The owner of its bytes thus notices when the
/// bytes have left or were dropped with their connection.
///
/// # Errors
///
/// As with [`send`].
pub fn send_lent(socket: &mut Socket, route: &Bytes, frames: &[Bytes]) -> io::Result<Sent> {
    send_all(socket, Some(route), frames, 0)
}

/// Sends a message. The last frame is copied if it has at most `copy_last` bytes.
fn send_all(
    socket: &mut Socket,
    route: Option<&Bytes>,
    frames: &[Bytes],
    copy_last: usize,
) -> io::Result<Sent> {
    let count = route.iter().len() + frames.len();
    let mut sent = Sent::Taken;
    for (index, frame) in route.into_iter().chain(frames).enumerate() {
        let (more, copy) = if index + 1 < count {
            (zmq::SNDMORE, COPY_SENT)
        } else {
            (0, copy_last)
        };
        match send_frame(socket, frame, copy, more | zmq::DONTWAIT)? {
            Sent::Taken => {}
            refused if index == 0 => return Ok(refused),
            // Only a DEALER whose connection ended in the middle gets here. It swallows the rest of this
            // message. If the rest were not sent, it would swallow that much of the next message.
            refused => sent = refused,
        }
    }
    Ok(sent)
}

/// A received message.
#[derive(Debug)]
pub struct Received {
    /// The frames. From a ROUTER, the first frame is the routing id.
    pub frames: Vec<Bytes>,
    /// The connection's name from the record layer, read as a decimal number. None if there is no layer, and
    /// for a notification of [`notify_disconnects`].
    pub name: Option<u64>,
    /// Whether a frame is empty because its connection had no credit for it ([`ask_credit`]).
    pub is_short: bool,
}

/// Takes one message from `socket` if there is one. Only the first `limit` frames are returned; the others
/// are dropped.
///
/// libzmq puts the record layer's name on every frame from the connection. A ROUTER copies the name of a
/// message's first frame to the routing id before it. So it is enough to look at the first frame.
///
/// # Errors
///
/// Any libzmq error. The socket can no longer be used then.
pub fn receive(socket: &mut Socket, limit: usize) -> io::Result<Option<Received>> {
    let Some(first) = receive_frame(socket)? else {
        return Ok(None);
    };
    let mut received = Received {
        frames: Vec::with_capacity(limit.min(4)),
        name: first.name(),
        is_short: false,
    };
    let mut next = first;
    loop {
        let more = next.has_more();
        received.is_short |= next.is_dropped();
        if received.frames.len() < limit {
            received.frames.push(keep(next));
        }
        if !more {
            return Ok(Some(received));
        }
        // If the first frame has arrived, all frames have.
        match receive_frame(socket)? {
            Some(frame) => next = frame,
            None => return Ok(None),
        }
    }
}

/// Makes the ROUTER `socket` announce the end of each connection with a message: the routing id and one empty
/// frame. The notification is lost if the connection's queue is full at that moment.
///
/// # Errors
///
/// If libzmq was built without its draft API, or `socket` is not a ROUTER.
pub fn notify_disconnects(socket: &mut Socket) -> io::Result<()> {
    set_int(socket, ROUTER_NOTIFY, NOTIFY_DISCONNECT)
}

/// Makes the ROUTER `socket` require credit: a frame of more than `free` bytes is accepted only if its
/// connection has credit for it ([`give_credit`]). Without credit the frame arrives empty, and its bytes
/// never take memory. A frame costs its length plus 256 bytes. A `free` of 0 turns credit off, which is the
/// default.
///
/// This applies to connections accepted by a later [`bind`]. A connection starts without credit.
///
/// # Errors
///
/// If `socket` is not a ROUTER, or `free` exceeds a C int.
pub fn ask_credit(socket: &mut Socket, free: usize) -> io::Result<()> {
    let free = c_int::try_from(free).map_err(|_| fault(zmq_sys::errno::EINVAL))?;
    set_int(socket, ROUTER_FREE_FRAME, free)
}

/// Changes the credit of the connection `route` of the ROUTER `socket` by `amount` bytes. A negative `amount`
/// takes credit back, and the remaining credit may then be below 0. Returns whether there is such a
/// connection. Unused credit ends with its connection. A connection that needs no credit is not changed.
///
/// The call takes effect at once: frames whose first bytes libzmq reads from now on see the new credit.
///
/// # Errors
///
/// If `socket` is not a ROUTER.
pub fn give_credit(socket: &mut Socket, route: &[u8], amount: i64) -> io::Result<bool> {
    let value = [&amount.to_ne_bytes(), route].concat();
    match set_option(socket, ROUTER_CREDIT, &value) {
        Ok(()) => Ok(true),
        Err(zmq_sys::errno::EHOSTUNREACH) => Ok(false),
        Err(errno) => Err(fault(errno)),
    }
}

/// Sets a numeric option. libzmq checks the size and rejects an option of another type.
pub(crate) fn set_int(socket: &mut Socket, option: c_int, value: c_int) -> io::Result<()> {
    set_option(socket, option, &value.to_ne_bytes()).map_err(fault)
}

fn set_option(socket: &mut Socket, option: c_int, value: &[u8]) -> Result<(), c_int> {
    // SAFETY: the call reads as many bytes as it is told of, and keeps no pointer to them.
    let code = unsafe {
        zmq_sys::zmq_setsockopt(
            socket.as_mut_ptr(),
            option,
            value.as_ptr().cast(),
            value.len(),
        )
    };
    if code == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Whether the ROUTER `socket` has a connection with the routing id `route`.
pub fn is_connected(socket: &mut Socket, route: &[u8]) -> bool {
    // SAFETY: the call reads `route` and keeps no pointer to it.
    let state = unsafe {
        zmq_socket_get_peer_state(socket.as_mut_ptr(), route.as_ptr().cast(), route.len())
    };
    state != -1
}

/// Ends the monitor of `socket`, if it has one. Call it before the listener of the monitor goes away:
/// libzmq's thread, which serves all connections of a context, would otherwise wait for that listener in the
/// middle of its work, and never do anything else again. The listener must have taken all earlier events, or
/// this call waits until libzmq's thread has sent them.
pub fn end_monitor(socket: &mut Socket) {
    // SAFETY: the call reads no endpoint and is given no pointer but that of the socket.
    let code = unsafe { zmq_sys::zmq_socket_monitor(socket.as_mut_ptr(), std::ptr::null(), 0) };
    // The call may fail if the context was terminated, which ends its monitors as well.
    debug_assert!(code == 0 || last_errno() == zmq_sys::errno::ETERM);
}

/// Binds `socket` to `endpoint` like [`Socket::bind`], but without its panic if the system fails with an
/// error that the `zmq` crate does not know, for example for a read-only directory.
///
/// # Errors
///
/// The system's error, or that libzmq cannot parse `endpoint`.
pub fn bind(socket: &mut Socket, endpoint: &str) -> io::Result<()> {
    let endpoint = CString::new(endpoint)?;
    // SAFETY: the call reads a C string and keeps no pointer to it.
    let code = unsafe { zmq_sys::zmq_bind(socket.as_mut_ptr(), endpoint.as_ptr()) };
    if code == 0 {
        Ok(())
    } else {
        Err(fault(last_errno()))
    }
}

/// Connects `socket` over a connected stream, which libzmq closes when it no longer needs it. Drop the socket
/// before it would reconnect by itself: it would use the same descriptor, which may then belong to somebody
/// else.
///
/// # Errors
///
/// If libzmq refuses.
pub fn connect_over(socket: &mut Socket, stream: OwnedFd) -> io::Result<()> {
    set_int(socket, USE_FD, stream.as_raw_fd())?;
    // A path that is never looked up.
    socket.connect("ipc://stream")?;
    let _ = stream.into_raw_fd();
    Ok(())
}

fn send_frame(socket: &mut Socket, frame: &Bytes, copy: usize, flags: c_int) -> io::Result<Sent> {
    loop {
        let sent = if frame.len() <= copy {
            send_copied(socket, frame, flags)
        } else {
            send_shared(socket, frame, flags)
        };
        match sent {
            Ok(()) => return Ok(Sent::Taken),
            Err(zmq_sys::errno::EINTR) => {}
            Err(zmq_sys::errno::EAGAIN) => return Ok(Sent::Full),
            Err(zmq_sys::errno::EHOSTUNREACH) => return Ok(Sent::Unreachable),
            Err(errno) => return Err(fault(errno)),
        }
    }
}

fn send_copied(socket: &mut Socket, frame: &[u8], flags: c_int) -> Result<(), c_int> {
    // SAFETY: the call copies `frame` and keeps no pointer to it.
    let code = unsafe {
        zmq_sys::zmq_send(
            socket.as_mut_ptr(),
            frame.as_ptr().cast(),
            frame.len(),
            flags,
        )
    };
    if code == -1 {
        Err(last_errno())
    } else {
        Ok(())
    }
}

fn send_shared(socket: &mut Socket, frame: &Bytes, flags: c_int) -> Result<(), c_int> {
    let mut message = zmq_sys::zmq_msg_t::default();
    let message = &raw mut message;
    let data = frame.as_ptr().cast_mut().cast();
    let hint = Box::into_raw(Box::new(frame.clone()));
    // SAFETY: `data` does not move while the reference behind `hint` lives. That is until libzmq calls
    // `release`, once it has sent or dropped the bytes. If creating the message fails, libzmq has kept
    // nothing and the reference is taken back here.
    unsafe {
        let make = zmq_sys::zmq_msg_init_data;
        if make(message, data, frame.len(), Some(release), hint.cast()) == -1 {
            let errno = last_errno();
            drop(Box::from_raw(hint));
            return Err(errno);
        }
        if zmq_sys::zmq_msg_send(message, socket.as_mut_ptr(), flags) == -1 {
            let errno = last_errno();
            zmq_sys::zmq_msg_close(message);
            return Err(errno);
        }
    }
    Ok(())
}

/// libzmq calls this once for each message that [`send_shared`] created.
unsafe extern "C" fn release(_data: *mut c_void, hint: *mut c_void) {
    // SAFETY: `hint` is what `Box::into_raw` gave to `send_shared`, and nobody else takes it back.
    drop(unsafe { Box::from_raw(hint.cast::<Bytes>()) });
}

fn receive_frame(socket: &mut Socket) -> io::Result<Option<Frame>> {
    let mut frame = Frame::new();
    loop {
        // SAFETY: the message is an empty one, which the call fills.
        let code =
            unsafe { zmq_sys::zmq_msg_recv(&raw mut frame.0, socket.as_mut_ptr(), zmq::DONTWAIT) };
        if code != -1 {
            return Ok(Some(frame));
        }
        match last_errno() {
            zmq_sys::errno::EINTR => {}
            zmq_sys::errno::EAGAIN => return Ok(None),
            errno => return Err(fault(errno)),
        }
    }
}

fn keep(frame: Frame) -> Bytes {
    if frame.as_ref().len() < COPY_RECEIVED {
        Bytes::copy_from_slice(frame.as_ref())
    } else {
        Bytes::from_owner(frame)
    }
}

/// A frame owned by libzmq. It does not change after it has arrived, and libzmq counts its users itself, so
/// it may be dropped on any thread.
struct Frame(zmq_sys::zmq_msg_t);

// SAFETY: see above. libzmq's own bindings also pass messages between threads.
unsafe impl Send for Frame {}

impl Frame {
    fn new() -> Self {
        let mut message = zmq_sys::zmq_msg_t::default();
        // SAFETY: the call creates an empty message from any memory, and cannot fail.
        unsafe { zmq_sys::zmq_msg_init(&raw mut message) };
        Self(message)
    }

    /// The pointer for libzmq calls that only read a message.
    fn as_ptr(&self) -> *mut zmq_sys::zmq_msg_t {
        (&raw const self.0).cast_mut()
    }

    fn has_more(&self) -> bool {
        // SAFETY: the message is initialized, and the call only reads it.
        unsafe { zmq_sys::zmq_msg_more(self.as_ptr()) == 1 }
    }

    fn is_dropped(&self) -> bool {
        // SAFETY: as above.
        unsafe { zmq_msg_routing_id(self.as_ptr()) == DROPPED_FRAME }
    }

    /// The connection's name from the record layer.
    fn name(&self) -> Option<u64> {
        self.property(USER_ID)?.to_str().ok()?.parse().ok()
    }

    fn property(&self, name: &CStr) -> Option<&CStr> {
        // SAFETY: the call only reads the message. It returns null or a string that lives as long as the
        // message.
        unsafe {
            let value = zmq_sys::zmq_msg_gets(self.as_ptr(), name.as_ptr());
            (!value.is_null()).then(|| CStr::from_ptr(value))
        }
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: libzmq provides this many bytes at this address until the message is closed.
        unsafe {
            let data = zmq_sys::zmq_msg_data(self.as_ptr()).cast();
            std::slice::from_raw_parts(data, zmq_sys::zmq_msg_size(self.as_ptr()))
        }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: the message was initialized, and it is closed only here.
        unsafe { zmq_sys::zmq_msg_close(&raw mut self.0) };
    }
}

fn last_errno() -> c_int {
    // SAFETY: the call has no arguments and reads a thread-local number.
    unsafe { zmq_sys::zmq_errno() }
}

/// The error for an errno, with libzmq's own message for numbers that the system does not know.
fn fault(errno: c_int) -> io::Error {
    if errno < zmq_sys::ZMQ_HAUSNUMERO.cast_signed() {
        return io::Error::from_raw_os_error(errno);
    }
    // SAFETY: the call returns a C string that lives as long as the program.
    let words = unsafe { CStr::from_ptr(zmq_sys::zmq_strerror(errno)) };
    io::Error::other(words.to_string_lossy())
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
