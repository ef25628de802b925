/* The work of libzmq's I/O thread, done by a thread that uses a socket: whatever it sends leaves, and whatever
   arrives is there, without one thread waking another. Needs a context of one I/O thread, and epoll. */

#ifndef SKYPIPE_BORROWING_HPP
#define SKYPIPE_BORROWING_HPP

extern "C" {

/* Takes the turns of the I/O thread of the socket's context. Until they are given back the calling thread, and
   no other, has to take them. NULL where this cannot be done. */
void *zmq_borrow_io (void *socket);
/* A descriptor that is readable when there is something to do. */
int zmq_borrowed_io_fd (void *io);
/* Does what there is to do, without waiting. Returns after how many milliseconds the next timer is due; 0 is
   no timer. */
int zmq_borrowed_io_turn (void *io);
/* Gives them back. The context must not end before. */
void zmq_give_io_back (void *io);
}

#endif
