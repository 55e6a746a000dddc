/* What a node answers to the gateway's requests: /act, the actuator, and /.well-known/core. */
#ifndef LK_SERVE_H
#define LK_SERVE_H

#include "actuator.h"
#include "link.h"

/* Obeys or answers a confirmable request; a is NULL for a node that moves nothing. Writes the answer to
 * l->answer and returns its length, or negative if it does not fit. */
int lk_serve_request(struct lk_link *l, struct lk_actuator *a, const struct lk_coap *m);

#endif
