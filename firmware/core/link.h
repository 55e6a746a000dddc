/*
 * The link of a node to its gateway: the DTLS association, the one request under way, the Echoes of
 * both sides, the clock and the log. intent, report, registration, serve and renewal use it; node
 * joins them. The link does not know what a request means. When the association is over, a function
 * returns LK_ECLOSED and node does the rest.
 */
#ifndef LK_LINK_H
#define LK_LINK_H

#include "dtls.h"
#include "echo.h"
#include "exchange.h"
#include "settings.h"

enum { LK_ANSWER_MAX = 128 }; /* bytes of an answer of ours */

/* What the request under way is for. */
enum lk_purpose { LK_FOR_NOTHING, LK_FOR_REGISTRATION, LK_FOR_INTENT, LK_FOR_REPORT };

struct lk_link {
	const struct lk_port *port;
	const struct lk_settings *settings;
	uint32_t sessions; /* associations so far */
	uint32_t hold;     /* the gateway was busy: no report and no registration before this time */
	enum lk_purpose purpose;
	bool proven; /* something came back in this association */

	struct lk_dtls *dtls;  /* the session */
	struct lk_dtls *spare; /* not in use, or in the handshake that makes the next session */
	struct lk_held held;
	struct lk_echoes issued;
	struct lk_exchange out;
	uint8_t in[LK_MESSAGE_MAX];
	uint8_t answer[LK_ANSWER_MAX];
};

/* Makes l, which is all zero, a link without an association. settings and pair must outlive it. */
void lk_link_init(
	struct lk_link *l, const struct lk_port *port, const struct lk_settings *s, struct lk_dtls pair[2]);

/* Milliseconds, by the port's clock. */
uint32_t lk_link_now(const struct lk_link *l);

/* Writes a line of log. Never a secret, a UID or a payload. */
void lk_link_log(const struct lk_link *l, const char *text, uint32_t number);

/* A random number below limit, for jitter; 0 without random bytes. */
uint32_t lk_link_jitter(const struct lk_link *l, uint32_t limit);

/* Makes the spare association the session, and the other way round. */
void lk_link_swap(struct lk_link *l);

/* Keeps the Echo that an answer carries, if any. */
void lk_link_take_echo(struct lk_link *l, const struct lk_coap *m);

/* Adds the newest Echo, if there is one, to a request about something that happened at `at`.
 * Returns the age to claim for it (lk_held_find_age). */
int32_t lk_link_add_echo(struct lk_link *l, struct lk_coap_out *o, uint32_t at, uint32_t now);

/* Forgets what belongs to an association that is over: the request under way and all Echoes. */
void lk_link_forget_session(struct lk_link *l);

/* Sends n bytes as one message; nothing if n is negative. LK_ECLOSED when the association is
 * over. */
int lk_link_send(struct lk_link *l, const uint8_t *b, int n);

/* Sends the request that lk_exchange_begin began, with payload_len bytes of payload. A request
 * that does not fit is logged and not sent. LK_ECLOSED when the association is over. */
int lk_link_send_request(struct lk_link *l, struct lk_coap_out *o, int payload_len, enum lk_purpose purpose);

/* Sends an empty message: an ACK, a ping, or a Reset. A Reset rejects a message (RFC 7252 §4.2)
 * or answers a ping. LK_ECLOSED when the association is over. */
int lk_link_send_empty(struct lk_link *l, uint8_t type, uint16_t mid);

/* Tells whether an answer says that the gateway is busy. */
static inline bool lk_link_is_busy(uint8_t code)
{
	return code == LK_COAP_TOO_MANY_REQUESTS || code == LK_COAP_UNAVAILABLE;
}

/* Delays reports and registrations for a while. */
void lk_link_hold_requests(struct lk_link *l);

#endif
