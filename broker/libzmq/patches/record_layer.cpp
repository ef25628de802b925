#include "record_layer.hpp"

namespace zmq
{
const zmq_record_layer_t *record_layer = NULL;
}

void zmq_set_record_layer (const struct zmq_record_layer_t *layer)
{
    zmq::record_layer = layer;
}
