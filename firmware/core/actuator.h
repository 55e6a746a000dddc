/*
 * The relay of a lock, or a lamp. It is off at boot, after an unknown command, and after a pulse. A
 * lock is also off when the session with the gateway is lost. A lamp stays as it is then: a dark
 * house is not safer.
 */
#ifndef LK_ACTUATOR_H
#define LK_ACTUATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "obeyed.h"
#include "port.h"
#include "wire.h"

enum { LK_PULSE_OWN = 3000 }; /* ms; of an unlock without a duration */
/* ms that no command can raise; a macro, because the links below have it as text */
#define LK_PULSE_LIMIT 10000

struct lk_actuator {
	const struct lk_port *port;
	bool lamp;
	bool pulsing;
	bool commanded;    /* the pulse is the gateway's, not the exit button's */
	uint8_t level;     /* 0: off; a lock's is 100 */
	uint8_t contact;   /* enum lk_contact, what the door's sensor says */
	uint32_t until;    /* when the pulse ends */
	uint64_t last;     /* id of the last command obeyed in this association */
	uint32_t epoch;    /* its epoch */
	struct lk_obeyed newest; /* of all associations */
	struct lk_receipt receipt; /* its receipt */
};

/* Switches the output off before anything else. */
void lk_actuator_init(struct lk_actuator *a, const struct lk_port *port, bool lamp);

/* Tells whether an action is one that this actuator knows. */
bool lk_actuator_fits(const struct lk_actuator *a, uint8_t action);

/* Obeys a command that is fresh and fits, unless this association had a newer one. A repeated
 * command gets the same receipt and moves nothing. */
void lk_actuator_obey(struct lk_actuator *a, const struct lk_command *c, uint32_t now, struct lk_receipt *r);

/* The exit button of a lock opens from inside, with or without the gateway. */
void lk_actuator_open_from_inside(struct lk_actuator *a, uint32_t now);

/* Writes the links of RFC 6690 for the actuator. A lock's link says how long it holds at most.
 * Returns their length, or LK_ESPACE. */
int lk_actuator_write_links(const struct lk_actuator *a, uint8_t *b, size_t cap);

void lk_actuator_read_state(const struct lk_actuator *a, uint32_t now, struct lk_state *s);

/* Begins a new association, in which command ids start again. */
void lk_actuator_begin_session(struct lk_actuator *a);

/* The session is lost. */
void lk_actuator_lose_session(struct lk_actuator *a);

/* Ends a pulse whose time is over. The board's own timer switches the output off even without
 * this call. Returns ms until it is to be called again. */
uint32_t lk_actuator_poll(struct lk_actuator *a, uint32_t now);

#endif
