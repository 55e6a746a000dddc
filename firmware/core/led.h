/* The light that shows a person at the door what is going on. */
#ifndef LK_LED_H
#define LK_LED_H

#include "port.h"

enum lk_led_sign {
	LK_LED_BARE,       /* not provisioned: two short blinks every 2 s */
	LK_LED_CONNECTING, /* no session yet: fast blinking */
	LK_LED_ONLINE,     /* one short blip every 3 s */
	LK_LED_FAULT,      /* a part does not answer: long, short */
	LK_LED_GRANTED,    /* once: on for 1 s */
	LK_LED_DENIED,     /* once: three short flashes */
	LK_LED_RETRY,      /* once: six fast flashes; granted, but the door did not answer, or no answer at all */
};

struct lk_led {
	enum lk_led_sign base, once;
	bool showing; /* once is being shown */
	bool lit;
	uint32_t began;
};

/* Sets the sign that is shown whenever no other is. */
void lk_led_set_base(struct lk_led *l, enum lk_led_sign sign);
/* Shows a sign once, beginning now. */
void lk_led_show_once(struct lk_led *l, enum lk_led_sign sign, uint32_t now);
/* Drives the lamp; returns ms until it is to be called again. */
uint32_t lk_led_poll(struct lk_led *l, const struct lk_port *port, uint32_t now);

#endif
