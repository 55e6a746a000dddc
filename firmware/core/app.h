/*
 * One image: a reader, a switch, a lock or a lamp, as LK_ROLE_READER, _SWITCH, _LOCK or _LAMP says when app.c is compiled; LK_BATTERY makes
 * a reader that sleeps between taps. A board's main calls lk_app_init once and lk_app_step for ever.
 */
#ifndef LK_APP_H
#define LK_APP_H

#include "console.h"
#include "led.h"
#include "mfrc522.h"
#include "node.h"
#include "sleep.h"

/* A contact that bounces counts when it was still for a moment. */
struct lk_debounce {
	bool now, raw;
	uint32_t since; /* when raw changed */
};

struct lk_app {
	const struct lk_port *port;
	struct lk_settings settings; /* what the node works with */
	struct lk_settings draft;    /* what the console changes */
	struct lk_console console;
	struct lk_counter counter;
	struct lk_node node;
	struct lk_led led;
	bool ready;      /* provisioned: the node runs */
	uint32_t began;  /* when the program started */
	uint32_t health; /* when to report it next */
	struct lk_debounce tamper;
	/* What a role has. */
	struct lk_mfrc522 chip;
	struct lk_actuator actuator;
	struct lk_debounce button, contact;
	struct lk_sleep sleep;
	uint32_t awake; /* until when a battery reader waits for a card */
};

/* Lets go of the output, reads the settings and starts the node, or waits at the console for what is missing. */
void lk_app_init(struct lk_app *a, const struct lk_port *port);

/* Does what is due, then waits in port->udp_wait until more is. */
void lk_app_step(struct lk_app *a);

#endif
