/* What a node answers to the gateway's requests: what it serves, and /.well-known/core. */
#ifndef LK_SERVE_H
#define LK_SERVE_H

#include "resource.h"

/* Obeys or answers a confirmable request. Writes the answer to l->answer and returns its length, or
 * negative if it does not fit. */
int lk_serve_request(struct lk_link *l, const struct lk_served *s, const struct lk_coap *m);

#endif
