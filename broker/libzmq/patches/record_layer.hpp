/* What stands between libzmq's stream engine and its socket, if anything does: a record layer that seals what
   is written and opens what is read. libzmq owns the descriptor and all waiting; the layer reads from and
   writes to the descriptor without waiting. All of it happens on libzmq's I/O threads. */

#ifndef SKYPIPE_RECORD_LAYER_HPP
#define SKYPIPE_RECORD_LAYER_HPP

#include <stddef.h>

/* A socket's option, an int: which record layer its connections go through; 0 is none. */
#define ZMQ_RECORD_LAYER 0x5359

/* What `flush` answers. */
#define ZMQ_RECORD_FLUSHED 0   /* All that was sealed is gone, and more can be sealed. */
#define ZMQ_RECORD_LEFT 1      /* Some is left: the descriptor takes no more. */
#define ZMQ_RECORD_NOT_READY 2 /* Nothing can be sealed before something was read. */
#define ZMQ_RECORD_BROKEN 3    /* The connection is of no use; the next read says why. */

extern "C" {

struct zmq_record_layer_t
{
    /* A connection of the layer of this number. Never NULL. */
    void *(*open) (int number);
    /* Like read(2): opened bytes; 0 at the end; -1 with errno. */
    int (*read) (void *record, int fd, void *data, size_t size);
    /* Seals some of the data and sends it: how much was taken; -1 with errno. */
    int (*write) (void *record, int fd, const void *data, size_t size);
    /* Sends what was sealed. */
    int (*flush) (void *record, int fd);
    /* Whether `flush` has something to do that it did not have before. */
    int (*wants_flush) (void *record);
    /* Whether `read` has bytes that no event of the descriptor will tell of. */
    int (*has_input) (void *record);
    /* Who is at the other end, as text, or NULL. It lives as long as the record. */
    const char *(*user_id) (void *record);
    void (*close) (void *record);
};

/* Says what a record layer is; to be called once, before any socket has the option. */
void zmq_set_record_layer (const struct zmq_record_layer_t *layer);
}

namespace zmq
{
extern const zmq_record_layer_t *record_layer;
}

#endif
