//! The record layer through which libzmq's stream engine reads and writes
//! (`broker/libzmq/patches/record_layer.hpp`).
//!
//! This module owns the calls between the two, and the table of layers. libzmq knows a layer by a number. A
//! late connection that nobody wants any more thus finds nothing and ends, instead of using a freed layer.
//!
//! Unsafe code is here only for these calls. This is why it is sound. libzmq opens a record once for each
//! engine, uses it only from that engine's I/O thread, one call at a time, and closes it once, in the
//! engine's destructor. A record is therefore a box that libzmq owns in between. Descriptors and buffers
//! belong to libzmq and are valid during a call; no call keeps them. No call unwinds into C++: a panic over
//! received data ends its connection, and any other panic ends the program, as `extern "C"` requires.

#![expect(
    unsafe_code,
    reason = "libzmq calls, and is called; the module says the rest"
)]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError};
use std::{io, slice};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, ServerConfig};
use zmq::Socket;

use super::Admit;
use super::connection::{Connection, Flushed, Wire};
use crate::frame;

/// `ZMQ_RECORD_LAYER`.
const OPTION: c_int = 0x5359;

/// The side of a connection that a layer is for, with its TLS configuration.
#[derive(Clone)]
pub(super) enum Role {
    Client(Arc<ClientConfig>),
    Satellite(Arc<ServerConfig>, Admit),
}

#[derive(Default)]
struct Layers {
    last: c_int,
    roles: HashMap<c_int, Role>,
}

static LAYERS: LazyLock<Mutex<Layers>> = LazyLock::new(Mutex::default);

/// The number of a layer, as long as the layer accepts new connections.
#[derive(Debug)]
pub(super) struct Number(c_int);

impl Number {
    /// A number without a layer. Its connections end at once.
    pub(super) fn new() -> Self {
        register();
        let mut layers = LAYERS.lock().unwrap_or_else(PoisonError::into_inner);
        layers.last += 1;
        Self(layers.last)
    }

    /// Gives new connections of this number a role.
    pub(super) fn stands_for(&self, role: Role) {
        let mut layers = LAYERS.lock().unwrap_or_else(PoisonError::into_inner);
        layers.roles.insert(self.0, role);
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        let mut layers = LAYERS.lock().unwrap_or_else(PoisonError::into_inner);
        layers.roles.remove(&self.0);
    }
}

/// Makes all new connections of `socket` use this layer.
pub(super) fn cover(socket: &mut Socket, number: &Number) -> io::Result<()> {
    frame::set_int(socket, OPTION, number.0)
}

/// `zmq_record_layer_t`.
#[repr(C)]
struct RecordLayer {
    open: extern "C" fn(c_int) -> *mut c_void,
    read: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, usize) -> c_int,
    write: unsafe extern "C" fn(*mut c_void, c_int, *const c_void, usize) -> c_int,
    flush: unsafe extern "C" fn(*mut c_void, c_int) -> c_int,
    wants_flush: unsafe extern "C" fn(*mut c_void) -> c_int,
    has_input: unsafe extern "C" fn(*mut c_void) -> c_int,
    user_id: unsafe extern "C" fn(*mut c_void) -> *const c_char,
    close: unsafe extern "C" fn(*mut c_void),
}

static RECORD_LAYER: RecordLayer = RecordLayer {
    open,
    read,
    write,
    flush,
    wants_flush,
    has_input,
    user_id,
    close,
};

unsafe extern "C" {
    fn zmq_set_record_layer(layer: *const RecordLayer);
}

fn register() {
    static ONCE: Once = Once::new();
    // SAFETY: libzmq keeps the pointer. The static that it points to lives for ever and never changes.
    ONCE.call_once(|| unsafe { zmq_set_record_layer(&raw const RECORD_LAYER) });
}

/// A connection, unless its layer is gone.
type Record = Option<Connection>;

fn new_connection(number: c_int) -> Record {
    let layers = LAYERS.lock().unwrap_or_else(PoisonError::into_inner);
    let role = layers.roles.get(&number)?.clone();
    drop(layers);
    match role {
        Role::Client(config) => {
            // The name is neither sent nor checked: only keys count.
            let name = ServerName::try_from("satellite.skypipe").ok()?;
            let tls = UnbufferedClientConnection::new(config, name).ok()?;
            Some(Connection::client(tls))
        }
        Role::Satellite(config, admit) => {
            let tls = UnbufferedServerConnection::new(config).ok()?;
            Some(Connection::satellite(tls, admit))
        }
    }
}

struct Descriptor<'a>(BorrowedFd<'a>);

impl Wire for Descriptor<'_> {
    fn receive(&mut self, bytes: &mut [u8]) -> Result<usize, Errno> {
        loop {
            match rustix::net::recv(self.0, &mut *bytes, RecvFlags::DONTWAIT) {
                Ok((_, count)) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        loop {
            match rustix::net::send(self.0, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// The record behind a pointer from libzmq.
///
/// # Safety
///
/// `record` was returned by [`open`] and is not closed, and no other call uses it at the same time.
unsafe fn borrow<'a>(record: *mut c_void) -> &'a mut Record {
    // SAFETY: the pointer is a box created by `open`, as the caller promises.
    unsafe { &mut *record.cast::<Record>() }
}

/// The descriptor of an engine's connection.
///
/// # Safety
///
/// The descriptor stays open as long as the result is used.
unsafe fn descriptor<'a>(fd: c_int) -> Descriptor<'a> {
    // SAFETY: as the caller promises.
    Descriptor(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Calls `act` on a connection. A connection that panics over received data is dropped, and others are not
/// affected.
fn with<T>(record: &mut Record, act: impl FnOnce(&mut Connection) -> T) -> Option<T> {
    let connection = record.as_mut()?;
    let done = catch_unwind(AssertUnwindSafe(|| act(connection)));
    if done.is_err() {
        *record = None;
    }
    done.ok()
}

/// Converts a count to a C int, or an error to -1 and errno.
fn told(result: Result<usize, Errno>) -> c_int {
    match result {
        Ok(count) => c_int::try_from(count).unwrap_or(c_int::MAX),
        Err(error) => {
            errno::set_errno(errno::Errno(error.raw_os_error()));
            -1
        }
    }
}

extern "C" fn open(number: c_int) -> *mut c_void {
    Box::into_raw(Box::new(new_connection(number))).cast()
}

unsafe extern "C" fn read(record: *mut c_void, fd: c_int, data: *mut c_void, size: usize) -> c_int {
    // SAFETY: libzmq passes its own record and descriptor, and a buffer of this size that nobody else uses.
    // The buffer may be uninitialized memory to C++, but it consists of bytes and is only written to.
    let (record, mut fd, data) = unsafe {
        (
            borrow(record),
            descriptor(fd),
            slice::from_raw_parts_mut(data.cast::<u8>(), size),
        )
    };
    told(with(record, |it| it.read(&mut fd, data)).unwrap_or(Err(Errno::CONNABORTED)))
}

unsafe extern "C" fn write(
    record: *mut c_void,
    fd: c_int,
    data: *const c_void,
    size: usize,
) -> c_int {
    // SAFETY: as in `read`, but the buffer is only read.
    let (record, mut fd, data) = unsafe {
        (
            borrow(record),
            descriptor(fd),
            slice::from_raw_parts(data.cast::<u8>(), size),
        )
    };
    told(with(record, |it| it.write(&mut fd, data)).unwrap_or(Err(Errno::CONNABORTED)))
}

unsafe extern "C" fn flush(record: *mut c_void, fd: c_int) -> c_int {
    // SAFETY: libzmq passes its own record and descriptor.
    let (record, mut fd) = unsafe { (borrow(record), descriptor(fd)) };
    match with(record, |it| it.flush(&mut fd)) {
        Some(Flushed::All) => 0,
        Some(Flushed::Left) => 1,
        Some(Flushed::NotReady) => 2,
        Some(Flushed::Broken) | None => 3,
    }
}

unsafe extern "C" fn wants_flush(record: *mut c_void) -> c_int {
    // SAFETY: libzmq passes its own record.
    let record = unsafe { borrow(record) };
    c_int::from(record.as_ref().is_some_and(Connection::wants_flush))
}

unsafe extern "C" fn has_input(record: *mut c_void) -> c_int {
    // SAFETY: libzmq passes its own record.
    let record = unsafe { borrow(record) };
    c_int::from(record.as_ref().is_none_or(Connection::has_input))
}

unsafe extern "C" fn user_id(record: *mut c_void) -> *const c_char {
    // SAFETY: libzmq passes its own record, and uses the answer at once.
    let record = unsafe { borrow(record) };
    let user = record.as_ref().and_then(Connection::user);
    user.map_or(ptr::null(), CStr::as_ptr)
}

unsafe extern "C" fn close(record: *mut c_void) {
    // SAFETY: libzmq closes its record once, and never uses it again.
    drop(unsafe { Box::from_raw(record.cast::<Record>()) });
}
