//! Messages of bytes in and out of a ZeroMQ socket, without copying the large ones.
//!
//! Owns the calls about messages and sockets that the `zmq` crate does not offer: sending bytes that are
//! shared with others, a ROUTER's notice that a peer has gone, the question whether one is still there, the
//! end of a monitor, binding without a panic, connecting over a stream that is there, credit for large
//! frames, and options that are numbers. The satellite's loop and the client's both go through here. The
//! module never decides what a message means, nor when to send one.
//!
//! This, `borrowing` and `tls::layer` are the only modules with unsafe code, and the argument here is
//! this. Sockets are borrowed, so they are open for as long as a call lasts. A payload is lent to
//! libzmq together with a reference of its own, which libzmq gives back exactly once, from whatever
//! thread, through [`release`]; [`Bytes`] may be dropped on any thread. libzmq only reads what it was
//! lent: over `tcp` and `ipc` it writes the bytes to a descriptor, or seals them into memory of its
//! own. (It would write into them over `ws`, and hand them out to be written to over `inproc`: neither
//! is for here.)

#![expect(
    unsafe_code,
    reason = "zmq copies each payload for each send; the module says the rest"
)]

use std::ffi::{CStr, CString, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd};

use bytes::Bytes;
use zmq::Socket;

/// Frames of up to so many bytes are copied when sent: that is cheaper than the two allocations
/// with which libzmq keeps track of a shared one.
const COPY_SENT: usize = 8 << 10;

/// Frames of fewer bytes are copied when received. libzmq hands out what fitted into its 8 KiB
/// receive buffer as references into that buffer, so that one short line that waits would keep the
/// whole of it; longer frames have memory of their own. Twice the buffer is safely beyond.
const COPY_RECEIVED: usize = 16 << 10;

/// `ZMQ_ROUTER_NOTIFY` and its `ZMQ_NOTIFY_DISCONNECT`, of libzmq's draft calls, which `zmq-sys`
/// leaves out.
const ROUTER_NOTIFY: c_int = 97;
const NOTIFY_DISCONNECT: c_int = 2;

/// `ZMQ_USE_FD`, which our libzmq heeds for connections, too (`patches/ipc_connecter.cpp.patch`).
const USE_FD: c_int = 89;

/// `ZMQ_ROUTER_FREE_FRAME` and `ZMQ_ROUTER_CREDIT`, of our libzmq (`patches/credit.hpp`).
const ROUTER_FREE_FRAME: c_int = 0x5b1;
const ROUTER_CREDIT: c_int = 0x5b2;

/// What libzmq calls the name that a record layer gave to a connection.
const USER_ID: &CStr = c"User-Id";

/// What [`zmq_msg_routing_id`] says of a frame whose bytes were dropped (`patches/credit.hpp`).
const DROPPED_FRAME: u32 = 1;

unsafe extern "C" {
    /// A draft call, too: what a ROUTER knows of a peer, or -1 if there is none of that name.
    fn zmq_socket_get_peer_state(
        socket: *mut c_void,
        routing_id: *const c_void,
        size: usize,
    ) -> c_int;

    /// A draft call, too: here whether a frame's bytes were dropped (`patches/credit.hpp`).
    fn zmq_msg_routing_id(message: *mut zmq_sys::zmq_msg_t) -> u32;
}

/// What a socket did with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is in the connection's queue.
    Taken,
    /// The queue is full; nothing was sent.
    Full,
    /// A ROUTER has no connection of that routing id; nothing was sent.
    Unreachable,
}

/// Hands a message of at least one frame to `socket` without waiting: `frames` behind the routing
/// id `route`, which only a ROUTER is given. Large frames are shared with the socket, not copied.
///
/// # Errors
///
/// What libzmq reports beside the outcomes of [`Sent`]; the socket can no longer be used then.
pub fn send(socket: &mut Socket, route: Option<&Bytes>, frames: &[Bytes]) -> io::Result<Sent> {
    send_all(socket, route, frames, COPY_SENT)
}

/// As [`send`], but the last frame is lent whatever its length: whoever owns its bytes sees when they have left,
/// or are given up with their connection.
///
/// # Errors
///
/// As with [`send`].
pub fn send_lent(socket: &mut Socket, route: &Bytes, frames: &[Bytes]) -> io::Result<Sent> {
    send_all(socket, Some(route), frames, 0)
}

/// The last frame is copied if it has no more than so many bytes.
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
            // Only a DEALER whose connection ended in the middle gets here. It swallows the rest of
            // this message, and would swallow that much of the next one if it were not sent.
            refused => sent = refused,
        }
    }
    Ok(sent)
}

/// A message that came.
#[derive(Debug)]
pub struct Received {
    /// Its frames. From a ROUTER, the first one is the routing id.
    pub frames: Vec<Bytes>,
    /// The name that the record layer gave to its connection, read as a decimal number. There is none if there is
    /// no layer, and with the notice of [`notify_disconnects`].
    pub name: Option<u64>,
    /// Whether a frame is empty because its connection had no credit for it ([`ask_credit`]).
    pub is_short: bool,
}

/// Takes one message from `socket` if there is one: its first `limit` frames; more are dropped.
///
/// libzmq puts the record layer's name on every frame that came over the connection, and a ROUTER puts that of a
/// message's first frame on the routing id before it: the first frame alone is looked at.
///
/// # Errors
///
/// What libzmq reports; the socket can no longer be used then.
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
        // All frames have come if the first one has.
        match receive_frame(socket)? {
            Some(frame) => next = frame,
            None => return Ok(None),
        }
    }
}

/// Makes the ROUTER `socket` announce each connection that ends by a message of one empty frame
/// behind the routing id. The notice is lost if the connection's queue is full just then.
///
/// # Errors
///
/// When libzmq was built without its draft calls, or `socket` is no ROUTER.
pub fn notify_disconnects(socket: &mut Socket) -> io::Result<()> {
    set_int(socket, ROUTER_NOTIFY, NOTIFY_DISCONNECT)
}

/// Makes the ROUTER `socket` ask for credit: a frame of more than `free` bytes is taken only if its
/// connection has credit for it ([`give_credit`]). Without credit the frame arrives empty, and its bytes
/// never take memory. A frame costs its length and 256 bytes. A `free` of 0 turns credit off, as it is by
/// default.
///
/// It holds for connections that are accepted by a later [`bind`]. A connection starts without credit.
///
/// # Errors
///
/// When `socket` is no ROUTER, or `free` is more than a C int.
pub fn ask_credit(socket: &mut Socket, free: usize) -> io::Result<()> {
    let free = c_int::try_from(free).map_err(|_| fault(zmq_sys::errno::EINVAL))?;
    set_int(socket, ROUTER_FREE_FRAME, free)
}

/// Gives the connection `route` of the ROUTER `socket` credit for `amount` more bytes. A negative `amount`
/// takes credit back; what is left may then be below 0. Returns whether there is such a connection. Unused
/// credit ends with its connection. A connection that needs no credit is not changed.
///
/// The call takes effect at once: frames whose first bytes libzmq reads from now on find the credit.
///
/// # Errors
///
/// When `socket` is no ROUTER.
pub fn give_credit(socket: &mut Socket, route: &[u8], amount: i64) -> io::Result<bool> {
    let value = [&amount.to_ne_bytes(), route].concat();
    match set_option(socket, ROUTER_CREDIT, &value) {
        Ok(()) => Ok(true),
        Err(zmq_sys::errno::EHOSTUNREACH) => Ok(false),
        Err(errno) => Err(fault(errno)),
    }
}

/// Sets an option that is a number. One that is none is refused by libzmq, which looks at the size.
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

/// Whether the ROUTER `socket` has a connection of the routing id `route`.
pub fn is_connected(socket: &mut Socket, route: &[u8]) -> bool {
    // SAFETY: the call reads `route` and keeps no pointer to it.
    let state = unsafe {
        zmq_socket_get_peer_state(socket.as_mut_ptr(), route.as_ptr().cast(), route.len())
    };
    state != -1
}

/// Ends the monitor of `socket`, if it has one. This has to come before the end of whoever listens to
/// the monitor: libzmq's thread, which serves all connections of a context, waits in the middle of its
/// work for a listener that is gone, and does nothing else ever after. The listener must have taken what
/// had been said, or this waits for libzmq's thread to say the rest.
pub fn end_monitor(socket: &mut Socket) {
    // SAFETY: the call reads no endpoint and is given no pointer but that of the socket.
    let code = unsafe { zmq_sys::zmq_socket_monitor(socket.as_mut_ptr(), std::ptr::null(), 0) };
    // It can be refused where the context has been ended, which ends its monitors as well.
    debug_assert!(code == 0 || last_errno() == zmq_sys::errno::ETERM);
}

/// Binds `socket` to `endpoint`, as [`Socket::bind`] does, but without its panic when the system
/// refuses for a reason that the `zmq` crate has no name for, such as a read-only directory.
///
/// # Errors
///
/// What the system reports, or that `endpoint` makes no sense to libzmq.
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

/// Connects `socket` over a stream that is connected already, which libzmq closes when it is done with it.
/// The socket must be dropped before it would connect again by itself: it would do so over the same
/// descriptor, which is somebody else's then.
///
/// # Errors
///
/// When libzmq refuses.
pub fn connect_over(socket: &mut Socket, stream: OwnedFd) -> io::Result<()> {
    set_int(socket, USE_FD, stream.as_raw_fd())?;
    // The name of a place that is never looked at.
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
    // SAFETY: `data` stays where it is while the reference behind `hint` lives, which is until
    // libzmq calls `release`: when it has sent the bytes or given them up. If the message cannot
    // even be made, libzmq has kept nothing and the reference is taken back here.
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

/// Called by libzmq, once for each message that [`send_shared`] made.
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

/// A frame as libzmq has it. It is not changed once it has come, and libzmq counts its users itself, so that it may
/// be dropped on any thread.
struct Frame(zmq_sys::zmq_msg_t);

// SAFETY: see above; libzmq's own bindings hand messages to other threads as well.
unsafe impl Send for Frame {}

impl Frame {
    fn new() -> Self {
        let mut message = zmq_sys::zmq_msg_t::default();
        // SAFETY: the call makes an empty message of whatever is there, and cannot fail.
        unsafe { zmq_sys::zmq_msg_init(&raw mut message) };
        Self(message)
    }

    /// What libzmq's calls that only look at a message want.
    fn as_ptr(&self) -> *mut zmq_sys::zmq_msg_t {
        (&raw const self.0).cast_mut()
    }

    fn has_more(&self) -> bool {
        // SAFETY: the message is there, and the call looks at it.
        unsafe { zmq_sys::zmq_msg_more(self.as_ptr()) == 1 }
    }

    fn is_dropped(&self) -> bool {
        // SAFETY: as above.
        unsafe { zmq_msg_routing_id(self.as_ptr()) == DROPPED_FRAME }
    }

    /// The name that the record layer gave to the connection.
    fn name(&self) -> Option<u64> {
        self.property(USER_ID)?.to_str().ok()?.parse().ok()
    }

    fn property(&self, name: &CStr) -> Option<&CStr> {
        // SAFETY: the call looks at the message, and returns a string that lives as long, or nothing.
        unsafe {
            let value = zmq_sys::zmq_msg_gets(self.as_ptr(), name.as_ptr());
            (!value.is_null()).then(|| CStr::from_ptr(value))
        }
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: libzmq gives so many bytes at this place, until the message is closed.
        unsafe {
            let data = zmq_sys::zmq_msg_data(self.as_ptr()).cast();
            std::slice::from_raw_parts(data, zmq_sys::zmq_msg_size(self.as_ptr()))
        }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: the message was initialized, and nobody closes it before.
        unsafe { zmq_sys::zmq_msg_close(&raw mut self.0) };
    }
}

fn last_errno() -> c_int {
    // SAFETY: the call takes nothing and reads a number of this thread.
    unsafe { zmq_sys::zmq_errno() }
}

/// The error of an errno, with libzmq's own words for those that the system does not know.
fn fault(errno: c_int) -> io::Error {
    if errno < zmq_sys::ZMQ_HAUSNUMERO.cast_signed() {
        return io::Error::from_raw_os_error(errno);
    }
    // SAFETY: the call gives a C string that lives as long as the program.
    let words = unsafe { CStr::from_ptr(zmq_sys::zmq_strerror(errno)) };
    io::Error::other(words.to_string_lossy())
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
