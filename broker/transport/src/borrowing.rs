//! Does the work of libzmq's I/O thread in the thread that uses its sockets.
//!
//! This module owns the calls with which a loop borrows this work and gives it back. Outgoing messages then
//! leave, and incoming messages arrive, without one thread waking another, which is most of the cost of a
//! single line. This module never decides who does the work.
//!
//! It contains unsafe code. This is why it is sound. libzmq ensures that only one thread at a time does the
//! work: a lock is held meanwhile (`patches/epoll.cpp.patch`), and a [`BorrowedIo`] stays on the thread that
//! took it. A `BorrowedIo` keeps the context, so the I/O thread outlives it. It gives the work back before it
//! releases the context: a context that ends while its work is borrowed would wait for ever.

#![expect(
    unsafe_code,
    reason = "the zmq crate knows nothing of these calls; the module says the rest"
)]

use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::time::Duration;

use zmq::{Context, Socket};

unsafe extern "C" {
    fn zmq_borrow_io(socket: *mut c_void) -> *mut c_void;
    fn zmq_borrowed_io_fd(io: *mut c_void) -> c_int;
    fn zmq_borrowed_io_turn(io: *mut c_void) -> c_int;
    fn zmq_give_io_back(io: *mut c_void);
}

/// The borrowed work of a context's I/O thread, until this is dropped. The holder must call
/// [`turn`](BorrowedIo::turn) repeatedly: nothing is sent or received otherwise.
pub struct BorrowedIo {
    io: NonNull<c_void>,
    _context: Context,
}

impl BorrowedIo {
    /// Borrows the work of the context's only I/O thread. `socket` must belong to `context`. Waits if the
    /// thread is in the middle of a turn. None if libzmq does not use epoll.
    #[must_use]
    pub fn of(context: &Context, socket: &mut Socket) -> Option<Self> {
        // SAFETY: the socket is open during the call, and the result lives as long as the context.
        let io = NonNull::new(unsafe { zmq_borrow_io(socket.as_mut_ptr()) })?;
        Some(Self {
            io,
            _context: context.clone(),
        })
    }

    /// The descriptor to wait for. It is readable when a turn has work to do.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        // SAFETY: the context is kept.
        unsafe { zmq_borrowed_io_fd(self.io.as_ptr()) }
    }

    /// Sends and receives without waiting. Returns after what time there is work even if nothing happens
    /// before: zero if one of these `sockets` of the context has a message.
    ///
    /// # Errors
    ///
    /// If one of the sockets is no longer valid.
    pub fn turn(&mut self, sockets: &[&Socket]) -> zmq::Result<Option<Duration>> {
        // SAFETY: the context is kept, and this is the thread that borrowed the work.
        let millis = unsafe { zmq_borrowed_io_turn(self.io.as_ptr()) };
        for socket in sockets {
            if socket.get_events()?.contains(zmq::POLLIN) {
                return Ok(Some(Duration::ZERO));
            }
        }
        let millis = u64::try_from(millis).ok().filter(|millis| *millis > 0);
        Ok(millis.map(Duration::from_millis))
    }
}

impl Drop for BorrowedIo {
    fn drop(&mut self) {
        // SAFETY: the context is kept until after this call, and this is the thread that borrowed the work.
        unsafe { zmq_give_io_back(self.io.as_ptr()) }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::frame::receive;
    use crate::tls::{Door, Layer};
    use skypipe_protocol::KeyId;
    use skypipe_protocol::secret::Secret;
    use skypipe_protocol::seed::SigningPair;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn pair(context: &Context) -> (Socket, Socket) {
        let router = context.socket(zmq::ROUTER).unwrap();
        router.bind("tcp://127.0.0.1:*").unwrap();
        let dealer = context.socket(zmq::DEALER).unwrap();
        dealer
            .connect(&router.get_last_endpoint().unwrap().unwrap())
            .unwrap();
        (router, dealer)
    }

    #[test]
    fn nothing_moves_but_in_a_turn_and_by_itself_when_the_work_is_given_back() {
        let context = Context::new();
        let (router, mut dealer) = pair(&context);
        dealer.send("hello", 0).unwrap();
        let millis = PATIENCE.as_millis().try_into().unwrap();
        assert_eq!(router.poll(zmq::POLLIN, millis), Ok(1));
        router.recv_multipart(0).unwrap();

        let mut io = BorrowedIo::of(&context, &mut dealer).expect("this is Linux");
        dealer.send("in a turn", 0).unwrap();
        assert_eq!(router.poll(zmq::POLLIN, 50), Ok(0));
        let deadline = Instant::now() + PATIENCE;
        while io.turn(&[&router]).unwrap() != Some(Duration::ZERO) {
            assert!(Instant::now() < deadline, "turns move it");
            zmq::poll(&mut [zmq::PollItem::from_fd(io.fd(), zmq::POLLIN)], 10).unwrap();
        }
        assert_eq!(router.recv_multipart(0).unwrap()[1], b"in a turn");

        dealer.send("by itself", 0).unwrap();
        drop(io);
        assert_eq!(router.poll(zmq::POLLIN, millis), Ok(1));
        assert_eq!(router.recv_multipart(0).unwrap()[1], b"by itself");
    }

    fn is_quiet(io: &BorrowedIo) -> bool {
        zmq::poll(&mut [zmq::PollItem::from_fd(io.fd(), zmq::POLLIN)], 0) == Ok(0)
    }

    /// libzmq used to need another turn, only to find that there is nothing more to send.
    #[test]
    fn a_message_leaves_in_one_turn_and_leaves_nothing_to_do() {
        let (near, far) = (Context::new(), Context::new());
        let router = far.socket(zmq::ROUTER).unwrap();
        router.bind("tcp://127.0.0.1:*").unwrap();
        let mut dealer = near.socket(zmq::DEALER).unwrap();
        let endpoint = router.get_last_endpoint().unwrap().unwrap();
        dealer.connect(&endpoint).unwrap();
        let millis = PATIENCE.as_millis().try_into().unwrap();
        dealer.send("hello", 0).unwrap();
        assert_eq!(router.poll(zmq::POLLIN, millis), Ok(1));
        router.recv_multipart(0).unwrap();

        let mut io = BorrowedIo::of(&near, &mut dealer).expect("this is Linux");
        while !is_quiet(&io) {
            io.turn(&[]).unwrap();
        }
        dealer.send("in a turn", 0).unwrap();
        io.turn(&[]).unwrap();
        assert_eq!(router.poll(zmq::POLLIN, millis), Ok(1));
        assert!(is_quiet(&io));
    }

    /// Borrowing works although the thread waits without a timeout and no event comes.
    #[test]
    fn the_work_of_a_thread_that_waits_for_nothing_can_be_borrowed() {
        let context = Context::new();
        let (router, mut dealer) = pair(&context);
        let millis = PATIENCE.as_millis().try_into().unwrap();
        let (sender, receiver) = mpsc::channel();
        // This thread notices if the other one waits for ever.
        thread::spawn(move || {
            for _ in 0..100 {
                dealer.send("hello", 0).unwrap();
                assert_eq!(router.poll(zmq::POLLIN, millis), Ok(1));
                router.recv_multipart(0).unwrap();
                drop(BorrowedIo::of(&context, &mut dealer).expect("this is Linux"));
            }
            sender.send(()).unwrap();
        });
        receiver.recv_timeout(PATIENCE).expect("it is borrowed");
    }

    /// The maximum number of connections that one turn serves.
    const SERVED: usize = 32;

    #[test]
    fn a_turn_serves_a_few_connections_and_the_next_one_serves_others() {
        let (near, far) = (Context::new(), Context::new());
        let mut router = near.socket(zmq::ROUTER).unwrap();
        router.bind("tcp://127.0.0.1:*").unwrap();
        let endpoint = router.get_last_endpoint().unwrap().unwrap();
        let millis = PATIENCE.as_millis().try_into().unwrap();
        let mut dealers: Vec<_> = std::iter::repeat_with(|| {
            let dealer = far.socket(zmq::DEALER).unwrap();
            dealer.connect(&endpoint).unwrap();
            dealer.send("hello", 0).unwrap();
            assert_eq!(router.poll(zmq::POLLIN, millis), Ok(1));
            router.recv_multipart(0).unwrap();
            dealer
        })
        .take(3 * SERVED)
        .collect();
        let mut io = BorrowedIo::of(&near, &mut router).expect("this is Linux");
        while !is_quiet(&io) {
            io.turn(&[]).unwrap();
        }
        for dealer in &dealers {
            dealer.send("more", 0).unwrap();
        }
        // Everything has arrived before the first turn.
        let mut far_io = BorrowedIo::of(&far, &mut dealers[0]).expect("this is Linux");
        while !is_quiet(&far_io) {
            far_io.turn(&[]).unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        let mut came = 0;
        while came < dealers.len() {
            assert!(Instant::now() < deadline, "turns move it");
            zmq::poll(&mut [zmq::PollItem::from_fd(io.fd(), zmq::POLLIN)], 10).unwrap();
            io.turn(&[]).unwrap();
            let mut turn = 0;
            while router.recv_multipart(zmq::DONTWAIT).is_ok() {
                turn += 1;
            }
            assert!(turn <= SERVED, "{turn} at once");
            came += turn;
        }
    }

    /// Admits everybody, and reports when a connection has gone.
    struct Tells(mpsc::Sender<()>);

    impl Door for Tells {
        fn admit(&self, _: &[u8; 32]) -> Option<KeyId> {
            Some(KeyId(1))
        }

        fn leave(&self, _: KeyId) {
            let _ = self.0.send(());
        }
    }

    /// A ROUTER and a DEALER of two contexts that have greeted each other through TLS, over a connection with
    /// buffers of this size, and a receiver that reports the connection's end.
    fn sealed_pair(
        near: &Context,
        far: &Context,
        buffer: i32,
    ) -> (Socket, Socket, mpsc::Receiver<()>) {
        let (sender, gone) = mpsc::channel();
        let [own, ours] = [1, 2].map(|number| SigningPair::of(Secret::new([number; 32])));
        let mut router = near.socket(zmq::ROUTER).unwrap();
        let layer = Layer::satellite(&own, Arc::new(Tells(sender))).unwrap();
        layer.cover(&mut router).unwrap();
        router.set_rcvbuf(buffer).unwrap();
        layer.open();
        router.bind("tcp://127.0.0.1:*").unwrap();
        let mut dealer = far.socket(zmq::DEALER).unwrap();
        dealer.set_linger(0).unwrap();
        dealer.set_sndbuf(buffer).unwrap();
        let client = Layer::client(&ours, own.public).unwrap();
        client.cover(&mut dealer).unwrap();
        let endpoint = router.get_last_endpoint().unwrap().unwrap();
        dealer.connect(&endpoint).unwrap();
        let millis = PATIENCE.as_millis().try_into().unwrap();
        dealer.send("hello", 0).unwrap();
        assert_eq!(router.poll(zmq::POLLIN, millis), Ok(1));
        let hello = receive(&mut router, 9).unwrap().unwrap();
        assert_eq!(hello.name, Some(1));
        (router, dealer, gone)
    }

    fn take_turns_until_quiet(io: &mut BorrowedIo) {
        while !is_quiet(io) {
            io.turn(&[]).unwrap();
        }
    }

    fn count(router: &Socket) -> usize {
        std::iter::from_fn(|| router.recv_multipart(zmq::DONTWAIT).ok()).count()
    }

    /// No event reports bytes that a record layer has read and libzmq has not.
    #[test]
    fn what_a_record_layer_has_read_ahead_comes_as_well() {
        let (near, far) = (Context::new(), Context::new());
        let (mut router, mut dealer, _gone) = sealed_pair(&near, &far, 1 << 20);
        let mut io = BorrowedIo::of(&near, &mut router).expect("this is Linux");
        let mut far_io = BorrowedIo::of(&far, &mut dealer).expect("this is Linux");
        // Far more than libzmq reads at a time, and less than the connection's buffers hold.
        for _ in 0..12 {
            dealer.send(vec![0; 4000], 0).unwrap();
        }
        take_turns_until_quiet(&mut far_io);
        take_turns_until_quiet(&mut io);
        assert_eq!(count(&router), 12);
    }

    /// One of these numbers of messages fills the connection's buffers with part of its last record.
    #[test]
    fn the_last_of_what_a_record_layer_has_sealed_leaves_as_well() {
        let (near, far) = (Context::new(), Context::new());
        let (mut router, mut dealer, _gone) = sealed_pair(&near, &far, 16 << 10);
        let mut io = BorrowedIo::of(&near, &mut router).expect("this is Linux");
        let mut far_io = BorrowedIo::of(&far, &mut dealer).expect("this is Linux");
        for messages in 1..60 {
            for _ in 0..messages {
                dealer.send(vec![0; 4000], 0).unwrap();
                take_turns_until_quiet(&mut far_io);
            }
            let mut came = 0;
            while !(is_quiet(&io) && is_quiet(&far_io)) {
                take_turns_until_quiet(&mut io);
                came += count(&router);
                take_turns_until_quiet(&mut far_io);
            }
            assert_eq!(came, messages);
        }
    }

    #[test]
    fn a_connection_that_has_ended_keeps_nothing_of_its_record_layer() {
        let (near, far) = (Context::new(), Context::new());
        let (_router, dealer, gone) = sealed_pair(&near, &far, 1 << 20);
        drop(dealer);
        gone.recv_timeout(PATIENCE).expect("its record is closed");
    }

    #[test]
    fn a_context_that_is_let_go_while_its_work_is_borrowed_ends_after_it() {
        let context = Context::new();
        let (router, mut dealer) = pair(&context);
        let io = BorrowedIo::of(&context, &mut dealer).expect("this is Linux");
        drop((router, dealer, context));
        // The context can only end while the I/O thread does its work.
        drop(io);
    }
}
