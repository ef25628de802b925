/* Credit for large frames. A ROUTER may say how long a frame may be that anyone may send it. A longer frame
   needs credit, which the application gives to one connection at a time. Without credit the frame's bytes are
   read and dropped, and an empty frame takes its place. So a peer that was given nothing costs no memory. */

#ifndef SKYPIPE_CREDIT_HPP
#define SKYPIPE_CREDIT_HPP

#include <stdint.h>

#include <atomic>
#include <limits>

/* A ROUTER's option, an int: the longest frame that needs no credit; 0 (the default) is any frame. It holds for
   connections that are accepted after a later bind. */
#define ZMQ_ROUTER_FREE_FRAME 0x5b1

/* Gives credit to a connection of a ROUTER: an int64_t of bytes, which may be negative, and the routing id
   behind it. EHOSTUNREACH if there is no such connection. */
#define ZMQ_ROUTER_CREDIT 0x5b2

namespace zmq
{
//  What zmq_msg_routing_id says of a frame whose bytes were dropped. Only
//  sockets of other kinds use that number.
enum
{
    dropped_frame = 1
};

//  The credit of one connection. The application gives it, and the I/O thread
//  takes it.
class credit_t
{
  public:
    explicit credit_t (uint64_t free_frame_) :
        _free_frame (free_frame_), _left (0)
    {
    }

    void give (int64_t amount_) { _left.fetch_add (amount_); }

    //  Whether there may be memory for a frame of this length. Takes what it
    //  costs from the credit, if it is long.
    bool take (uint64_t size_)
    {
        if (size_ <= _free_frame)
            return true;
        if (size_ > std::numeric_limits<int64_t>::max () - overhead)
            return false;
        const int64_t cost = static_cast<int64_t> (size_) + overhead;
        int64_t left = _left.load ();
        do {
            if (left < cost)
                return false;
        } while (!_left.compare_exchange_weak (left, left - cost));
        return true;
    }

  private:
    //  What a frame costs beside its bytes.
    static const int64_t overhead = 256;

    const uint64_t _free_frame;
    std::atomic<int64_t> _left;
};
}

#endif
