/*
 * A board's program: its units, one console, one light. A board's main makes a struct lk_port for
 * each unit of the image, calls lk_app_init once and lk_app_step for ever.
 */
#ifndef LK_APP_H
#define LK_APP_H

#include "debounce.h"
#include "unit.h"

/* One unit of an image, and the role that it plays. */
struct lk_part {
	struct lk_unit *unit; /* the first member of what the role needs; all zero. NULL ends the list */
	const struct lk_role *role;
	/* Fills in the key that is built in, as lk_settings_seed. NULL: there is none. */
	int (*seed)(struct lk_settings *s);
};

struct lk_app {
	const struct lk_port *port; /* of the first unit, for what all share */
	const struct lk_part *parts;
	struct lk_draft *drafts[LK_MOST_NODES];
	struct lk_console console;
	struct lk_led led;
	struct lk_debounce tamper;
	uint32_t health; /* when to report it next */
};

/* Switches the output off, reads the settings and starts the nodes. A node whose settings are
 * not complete waits for them at the console. parts are at most LK_MOST_NODES; ports has one for
 * each of them. */
void lk_app_init(struct lk_app *a, const struct lk_part *parts, const struct lk_port *ports);

/* Does what is due, then waits in port->udp_wait until the next is due. */
void lk_app_step(struct lk_app *a);

/* What this image is made of. Each file of port/image is one. */
extern const struct lk_part lk_image[];

#endif
