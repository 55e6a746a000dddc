/*
 * A node's life with its gateway: handshake, registration, keep-alive, reconnect with jitter and
 * back-off. It joins the parts above the link: one intent at a time, reports, the gateway's
 * requests, and hints that the gateway has lost the session. It knows only the hardware in struct
 * lk_port, and never waits.
 */
#ifndef LK_NODE_H
#define LK_NODE_H

#include "finder.h"
#include "intent.h"
#include "link.h"
#include "registration.h"
#include "renewal.h"
#include "report.h"

enum lk_node_state { LK_NODE_WAITING, LK_NODE_HANDSHAKE, LK_NODE_UP };

struct lk_node {
	struct lk_link link;
	enum lk_node_state state;
	uint32_t at;    /* WAITING: when to connect; else since when */
	uint32_t pause; /* ms before the next try to connect */
	uint8_t *saved; /* an association to be resumed instead of a handshake; wiped when it was */
	uint16_t saved_len;
	struct lk_served served; /* all zero for a node that moves nothing */

	struct lk_finder finder;
	struct lk_intent intent;
	struct lk_report report;
	struct lk_registration registration;
	struct lk_renewal renewal;
	struct lk_dtls pair[2]; /* the link's */
};

/* Makes a node. It connects soon, or at once if it has an association to resume. The settings
 * must be complete. served is NULL for a node that moves nothing. */
void lk_node_init(struct lk_node *n, const struct lk_port *port, const struct lk_settings *s,
	struct lk_counter *c, const struct lk_served *served);

/* Continues an association from before deep sleep. state is wiped after use. The caller sets
 * exchange and location. */
void lk_node_resume(struct lk_node *n, uint8_t *state, uint16_t len);

/* A card with this UID was read, or the button pressed, at that moment. False as lk_intent_scan. */
bool lk_node_scan(struct lk_node *n, const uint8_t *uid, size_t len, uint32_t at);
bool lk_node_press(struct lk_node *n, uint8_t action, uint32_t at);

/* Reports LK_REPORT_… to the gateway as soon as possible. */
void lk_node_report(struct lk_node *n, uint8_t what);

/* Does what is due and returns ms until it is to be called again, or earlier when a datagram
 * comes. */
uint32_t lk_node_step(struct lk_node *n);

/* Tells whether the node is registered. */
bool lk_node_is_online(const struct lk_node *n);

/* Tells whether nothing is under way or left to be sent. */
bool lk_node_is_idle(const struct lk_node *n);

#endif
