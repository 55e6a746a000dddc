/*
 * Follows a hint that the gateway does not have the session any more. Anybody can forge a hint, so
 * the node first asks the gateway on the session. Only if no answer comes, it makes a new session.
 * The old one stays in use until the new one is ready.
 */
#ifndef LK_RENEWAL_H
#define LK_RENEWAL_H

#include "link.h"

enum { LK_HINT_PAUSE = 5000 }; /* ms between two pings that a hint causes, at least */

enum lk_renewal_state {
	LK_RENEWAL_NONE,
	LK_RENEWAL_PING,      /* the gateway is asked, on the session */
	LK_RENEWAL_HANDSHAKE, /* it did not answer: the spare association is in its handshake */
};

struct lk_renewal {
	enum lk_renewal_state state;
	uint32_t pinged; /* when the last hint was followed */
	uint16_t ping;   /* message ID of that ping */
	uint8_t pings;   /* how often it was sent */
};

enum { LK_RENEWED = 1 }; /* the handshake of the spare association is done: it takes the session's place */

/* Follows hints, while the node has a session. *due, 0 before, becomes ms until there is more to do. Returns
 * 0, LK_RENEWED, or LK_ECLOSED as lk_link_send. */
int lk_renewal_step(struct lk_renewal *r, struct lk_link *l, uint32_t now, uint32_t *due);

/* Takes the answer to the ping. False if the message is not that answer. */
bool lk_renewal_take_answer(struct lk_renewal *r, struct lk_link *l, const struct lk_coap *m);

#endif
