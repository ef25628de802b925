#include "precompiled.hpp"
#include "borrowing.hpp"
#include "poller.hpp"
#include "ctx.hpp"
#include "io_thread.hpp"
#include "socket_base.hpp"

#ifdef ZMQ_IOTHREAD_POLLER_USE_EPOLL

static zmq::epoll_t *poller_of (void *socket_)
{
    zmq::socket_base_t *const socket =
      static_cast<zmq::socket_base_t *> (socket_);
    return socket->get_ctx ()->choose_io_thread (0)->get_poller ();
}

void *zmq_borrow_io (void *socket_)
{
    zmq::epoll_t *const poller = poller_of (socket_);
    poller->borrow ();
    return poller;
}

int zmq_borrowed_io_fd (void *io_)
{
    return static_cast<zmq::epoll_t *> (io_)->get_fd ();
}

int zmq_borrowed_io_turn (void *io_)
{
    return static_cast<zmq::epoll_t *> (io_)->turn ();
}

void zmq_give_io_back (void *io_)
{
    static_cast<zmq::epoll_t *> (io_)->give_back ();
}

#else

void *zmq_borrow_io (void *)
{
    return NULL;
}

int zmq_borrowed_io_fd (void *)
{
    return -1;
}

int zmq_borrowed_io_turn (void *)
{
    return 0;
}

void zmq_give_io_back (void *)
{
}

#endif
