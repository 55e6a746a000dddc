/*
 * One confirmable request of ours at a time (NSTART 1, RFC 7252 §4.7): its bytes, its
 * retransmissions and its round trip. It sends nothing itself.
 *
 * Doors are on a LAN: once the round trip is known there is no reason to wait the 2 s of RFC 7252
 * §4.8. Then the first retransmission is due after twice the smoothed round trip, 200 ms…1 s;
 * before that, after 1 s × 1…1.5. Each further wait is twice the one before.
 */
#ifndef LK_EXCHANGE_H
#define LK_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coap.h"

enum { LK_MESSAGE_MAX = 256, LK_MAX_RETRANSMIT = 4, LK_TOKEN_LEN = 4 };

struct lk_exchange {
	bool active;    /* an answer is awaited */
	bool acked;     /* acknowledged: the answer comes separately; no retransmission */
	uint8_t repeats;
	uint16_t mid;   /* of this request, and the last one used */
	uint32_t token; /* likewise: never used twice in one association (RFC 9175 §4.2) */
	uint32_t sent;  /* when it was first sent */
	uint32_t due;   /* when it must be retransmitted */
	uint32_t wait;  /* before that retransmission */
	uint32_t srtt;  /* smoothed round trip in ms, 0 before the first sample */
	uint16_t n;     /* bytes of b */
	uint8_t b[LK_MESSAGE_MAX];
};

/* Begins a new association: no request is under way, and tokens start again. random makes the
 * first message ID hard to guess (§4.4). */
void lk_exchange_reset(struct lk_exchange *x, uint32_t random);

/* Begins a request to a path of the gateway; the caller adds options above Uri-Path and the
 * payload, then calls lk_exchange_mark_sent. An earlier request is forgotten. */
void lk_exchange_begin(struct lk_exchange *x, struct lk_coap_out *o, uint8_t code, const char *path);

/* Records that the request, of n bytes as lk_coap_end returned, is sent at now. False if it did
 * not fit. */
bool lk_exchange_mark_sent(struct lk_exchange *x, int n, uint32_t now, uint32_t random);

/* Tells whether the request is to be sent again now. */
bool lk_exchange_must_retransmit(struct lk_exchange *x, uint32_t now);

/* Returns the ms until a retransmission may be due; UINT32_MAX: never. */
uint32_t lk_exchange_due(const struct lk_exchange *x, uint32_t now);

/* How a message relates to the request under way. */
enum lk_exchange_match {
	LK_EXCHANGE_OTHER,  /* nothing */
	LK_EXCHANGE_ACKED,  /* it was received; the answer comes later */
	LK_EXCHANGE_RESET,  /* it was rejected: the exchange is over */
	/* the answer: the exchange is over, even if the ACK was lost (RFC 7252 §5.2.2) */
	LK_EXCHANGE_ANSWER,
	/* an answer that nobody waits for any more, or a repeated one: only acknowledge it (§4.2,
	 * §4.5) */
	LK_EXCHANGE_LATE,
};
enum lk_exchange_match lk_exchange_take(struct lk_exchange *x, const struct lk_coap *m, uint32_t now);

void lk_exchange_forget(struct lk_exchange *x);

#endif
