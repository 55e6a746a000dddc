/*
 * A unit: one device of the gateway, with its key, its node and the role that it plays. A role is a
 * struct of functions. A board has one unit, or several: the gateway gives each device one kind and
 * one key, so a board that is reader and lock is two devices.
 */
#ifndef LK_UNIT_H
#define LK_UNIT_H

#include "console.h"
#include "led.h"
#include "node.h"

enum { LK_INPUTS_EVERY = 20 }; /* ms between two looks at the inputs */

struct lk_unit;

/* What a kind of device does on its board. All functions except step may be NULL. */
struct lk_role {
	const char *kind;     /* as the gateway names it */
	const char *started;  /* the log's line at boot */
	const char *foreign;  /* and the one about settings of another kind */
	bool without_settings; /* step is called without settings, too */
	const struct lk_resource *serves; /* what it does with its actuator; NULL if it has none */

	/* Called first, before the settings are read. Returns the actuator, or NULL. */
	struct lk_actuator *(*init)(struct lk_unit *u);
	/* Called when the settings are complete and the node is there. */
	void (*start)(struct lk_unit *u, uint32_t now);
	/* Called in each round; returns ms until the next is wanted. */
	uint32_t (*step)(struct lk_unit *u, uint32_t now);
	/* Called at the end of each round; decided: the light shows a verdict from now on. */
	void (*finish)(struct lk_unit *u, bool decided, uint32_t now);
};

#define LK_ROLE_TEXTS(name) \
	.kind = (name), .started = "latchkey " name ", started for reason", \
	.foreign = "these settings are not a " name "'s"

/* The first member of each role's own struct. */
struct lk_unit {
	const struct lk_role *role;
	const struct lk_port *port;   /* this unit's own */
	struct lk_led *led;           /* the board's */
	struct lk_actuator *actuator; /* or NULL */
	bool ready;                   /* provisioned: the node runs */
	bool fault;                   /* a part does not answer */
	struct lk_counter counter;
	struct lk_node node;
	struct lk_settings settings; /* what the node works with */
	struct lk_draft draft;       /* what the console changes */
};

/* The state of one of the board's inputs. */
static inline bool lk_unit_input(const struct lk_unit *u, enum lk_input which)
{
	return u->port->input(u->port->ctx, which);
}

/* Reports LK_REPORT_… if there is a node: without settings there is nobody to report to. */
static inline void lk_unit_report(struct lk_unit *u, uint8_t what)
{
	if (u->ready)
		lk_node_report(&u->node, what);
}

#endif
