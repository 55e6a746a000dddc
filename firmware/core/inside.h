/*
 * What the parts of a node share, for themselves alone: node.c has the life with the gateway, intent.c what a person wants, report.c what
 * is told unasked, serve.c what the gateway asks, renewal.c what a hint does. Everybody else includes node.h.
 */
#ifndef LK_INSIDE_H
#define LK_INSIDE_H

#include "node.h"

/* Milliseconds, and the log, of the port. */
uint32_t lk_node_millis(const struct lk_node *n);
void lk_node_tell(const struct lk_node *n, const char *text, uint32_t number);

/* A random number below limit, for jitter; 0 without random bytes. */
uint32_t lk_node_jitter(const struct lk_node *n, uint32_t limit);

/* Sends the request that was begun: o and the length of its payload. The association may be lost by it. */
void lk_node_ask(struct lk_node *n, struct lk_coap_out *o, int payload_len, enum lk_purpose purpose);

/* Sends a message without content, of that type. The association may be lost by it. */
void lk_node_send_empty(struct lk_node *n, uint8_t type, uint16_t mid);

/* The link that is not in use, or in its handshake. */
static inline struct lk_dtls *lk_node_other(struct lk_node *n) { return &n->links[n->dtls == &n->links[0]]; }

/* Makes the other link, whose handshake is done, the session in place of this one. */
void lk_node_take_over(struct lk_node *n);

/* Follows hints; returns ms until there is more to do. The node is up. */
uint32_t lk_renewal_step(struct lk_node *n, uint32_t now);

/* Takes an answer to the ping. False: it is none. */
bool lk_renewal_answered(struct lk_node *n, const struct lk_coap *m);

/* Tells whether an answer says that the gateway has no time now. */
static inline bool lk_node_busy(uint8_t code) { return code == LK_COAP_TOO_MANY_REQUESTS || code == LK_COAP_UNAVAILABLE; }

/* Has no report and no registration sent for a while. */
void lk_node_hold(struct lk_node *n);

/* Sends the intent that has no verdict, for the first time or again. */
void lk_intent_send(struct lk_node *n);
/* Ends it: verdict is enum lk_outcome or negative; text and number go to the log. */
void lk_intent_end(struct lk_node *n, int verdict, const char *text, uint32_t number);
/* Takes the answer to it. */
void lk_intent_judged(struct lk_node *n, const struct lk_coap *m);

/* Sends what is wanted; lk_report_taken takes the code of the answer. */
void lk_report_send(struct lk_node *n);
void lk_report_taken(struct lk_node *n, uint8_t code);

/* Obeys or answers a confirmable request. Writes the answer to n->answer and returns its length, or negative if it does not fit. */
int lk_serve(struct lk_node *n, const struct lk_coap *m);

#endif
