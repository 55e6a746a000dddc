/*
 * An intent of a person: a card was read, or a button was pressed. There is one intent at a time,
 * until the gateway's verdict.
 */
#ifndef LK_INTENT_H
#define LK_INTENT_H

#include "counter.h"
#include "link.h"
#include "wire.h"

struct lk_intent {
	struct lk_counter *counter;
	bool active;
	bool sent;
	uint8_t uid_len; /* 0: a button */
	uint8_t uid[10];
	uint8_t action;
	uint8_t stale;    /* how often the gateway found it not fresh */
	uint64_t n;       /* its scan counter */
	uint32_t at;      /* when the card was read or the button pressed */
	uint32_t sent_at; /* when it was first sent in this association */
	bool decided;     /* there is a verdict to take */
	int verdict;      /* enum lk_outcome or negative LK_E… */
};

/* Begins an intent: a card with this UID was read, or the button was pressed, at that moment.
 * False if the intent before has no verdict yet, or no counter could be reserved. Then nothing
 * is sent. */
bool lk_intent_scan(struct lk_intent *i, struct lk_link *l, const uint8_t *uid, size_t len, uint32_t at);
bool lk_intent_press(struct lk_intent *i, struct lk_link *l, uint8_t action, uint32_t at);

/* Sends or repeats the intent that has no verdict yet. LK_ECLOSED as lk_link_send. */
int lk_intent_send(struct lk_intent *i, struct lk_link *l);

/* Takes the answer to it. */
void lk_intent_take_answer(struct lk_intent *i, struct lk_link *l, const struct lk_coap *m);

/* Ends an intent whose window has passed; false if there is none. */
bool lk_intent_expire(struct lk_intent *i, struct lk_link *l, uint32_t now);

/* Takes the outcome of the last intent. It returns true once for each intent. *verdict is enum
 * lk_outcome, or negative when none came in time. */
bool lk_intent_take_verdict(struct lk_intent *i, int *verdict);

#endif
