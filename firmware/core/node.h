/*
 * A node's life with its gateway: handshake, registration, keep-alive, reconnect with jitter and back-off; one intent at a time, from the
 * tap to the verdict; reports; and the two resources that a node serves, /act and /.well-known/core. It knows no hardware beyond what
 * struct lk_port gives, and never waits.
 */
#ifndef LK_NODE_H
#define LK_NODE_H

#include "actuator.h"
#include "counter.h"
#include "dtls.h"
#include "echo.h"
#include "exchange.h"
#include "settings.h"
#include "wire.h"

enum {
	LK_LOCATION_MAX = 24,   /* characters of the registration's path */
	LK_ANSWER_MAX = 128,    /* bytes of an answer of ours */
	LK_HINT_PAUSE = 5000,   /* ms between two pings that a hint causes, at least */
	LK_LIFETIME = 90,       /* s a registration holds; it is renewed every third of it */
	LK_LIFETIME_ASLEEP = 14400, /* s for a node that sleeps and wakes once an hour */
};

/* What a report tells. */
enum {
	LK_REPORT_BOOT = 1,
	LK_REPORT_CONTACT = 2,
	LK_REPORT_TAMPER = 4,
	LK_REPORT_EXIT = 8,
	LK_REPORT_HEALTH = 16,   /* supply, signal, time since boot */
	LK_REPORT_OPENED = 32,   /* the door was open, if only for a moment: goes with LK_REPORT_CONTACT */
	LK_REPORT_TAMPERED = 64, /* so was the case: goes with LK_REPORT_TAMPER */
};

/* What a person wants: a card was read, or a button pressed. */
struct lk_intent {
	bool active;
	bool sent;
	uint8_t uid_len; /* 0: a button */
	uint8_t uid[10];
	uint8_t action;
	uint8_t stale;    /* how often the gateway found it not fresh */
	uint64_t n;       /* its scan counter */
	uint32_t at;      /* when it was meant */
	uint32_t sent_at; /* when it was first sent in this association */
};

enum lk_node_state { LK_NODE_WAITING, LK_NODE_HANDSHAKE, LK_NODE_UP };

/* What is done about a hint that the gateway does not have the session any more. */
enum lk_renewal {
	LK_RENEWAL_NONE,
	LK_RENEWAL_PING,      /* the gateway is asked, on the session */
	LK_RENEWAL_HANDSHAKE, /* it did not answer; the session stays in use until the new one is there */
};

/* What the request under way is for. */
enum lk_purpose { LK_FOR_NOTHING, LK_FOR_REGISTRATION, LK_FOR_INTENT, LK_FOR_REPORT };

struct lk_node {
	const struct lk_port *port;
	const struct lk_settings *settings;
	struct lk_counter *counter;
	struct lk_actuator *actuator; /* NULL for a node that moves nothing */
	uint32_t lifetime;            /* s */

	enum lk_node_state state;
	uint32_t at;    /* WAITING: when to connect; UP: since when */
	uint32_t pause; /* ms before the next try to connect */
	struct lk_dtls *dtls; /* one of the two: the other one takes its place after a hint */
	struct lk_dtls links[2];
	bool proven;    /* something came back in this association */
	uint32_t sessions;
	uint8_t *saved; /* an association to be resumed instead of a handshake; wiped when it was */
	uint16_t saved_len;

	enum lk_renewal renewal;
	uint32_t pinged; /* when the last hint was followed */
	uint16_t ping;   /* message ID of that ping */
	uint8_t pings;   /* how often it was sent */

	struct lk_exchange out;
	enum lk_purpose purpose;
	struct lk_held held;
	struct lk_echoes issued;
	char location[LK_LOCATION_MAX + 1]; /* of our registration, "" if there is none */
	uint32_t renew;                     /* when to renew it */

	struct lk_intent intent;
	bool decided;  /* verdict is there to be taken */
	int verdict;   /* enum lk_outcome or negative LK_E… */

	uint8_t wanted, sending; /* LK_REPORT_… */
	uint32_t exit_at;        /* when the exit button was pressed */
	uint32_t hold;           /* the gateway was busy: no report and no registration before */
	bool tamper;
	uint32_t uptime, second; /* s since boot; when the last one was counted */

	uint8_t in[LK_MESSAGE_MAX];
	uint8_t answer[LK_ANSWER_MAX];
};

/* A node that connects soon, unless it has an association to resume: then at once. The settings are complete. */
void lk_node_init(struct lk_node *n, const struct lk_port *port, const struct lk_settings *s, struct lk_counter *c, struct lk_actuator *a);

/* Goes on an association of before deep sleep: state is wiped once it was taken, exchange and location are set by the caller. */
void lk_node_resume(struct lk_node *n, uint8_t *state, uint16_t len);

/* A card with this UID was read, or the button pressed, at that moment. False if the one before has no verdict yet, or no counter could be
 * reserved: nothing is sent then. */
bool lk_node_scan(struct lk_node *n, const uint8_t *uid, size_t len, uint32_t at);
bool lk_node_press(struct lk_node *n, uint8_t action, uint32_t at);

/* Takes the outcome of the last intent: true once for each. *verdict is enum lk_outcome, or negative when none came in time. */
bool lk_node_verdict(struct lk_node *n, int *verdict);

/* Has LK_REPORT_… told to the gateway as soon as possible. */
void lk_node_report(struct lk_node *n, uint8_t what);

/* Does what is due and returns ms until it wants to be called again, or earlier when a datagram comes. */
uint32_t lk_node_step(struct lk_node *n);

/* Tells whether the node is registered. */
bool lk_node_online(const struct lk_node *n);

/* Tells whether nothing is under way or left to be sent. */
bool lk_node_idle(const struct lk_node *n);

#endif
