#include "led.h"

enum { STEP = 100 };

/* Steps of 100 ms from the lowest bit on, and how many there are. */
static const struct {
	uint32_t bits, steps;
} patterns[] = {
	[LK_LED_BARE] = {0x5, 20},
	[LK_LED_CONNECTING] = {0x1, 2},
	[LK_LED_ONLINE] = {0x1, 30},
	[LK_LED_FAULT] = {0xbf, 12},
	[LK_LED_GRANTED] = {0x3ff, 11},
	[LK_LED_DENIED] = {0x333, 12},
	[LK_LED_RETRY] = {0x555, 12},
};

void lk_led_set_base(struct lk_led *l, enum lk_led_sign sign) { l->base = sign; }

void lk_led_show_once(struct lk_led *l, enum lk_led_sign sign, uint32_t now)
{
	l->once = sign;
	l->showing = true;
	l->began = now;
}

uint32_t lk_led_poll(struct lk_led *l, const struct lk_port *port, uint32_t now)
{
	uint32_t step = (now - l->began) / STEP;

	if (l->showing && step >= patterns[l->once].steps) {
		l->showing = false;
		l->began = now;
		step = 0;
	}
	enum lk_led_sign sign = l->showing ? l->once : l->base;
	if (step >= patterns[sign].steps) {
		l->began = now;
		step = 0;
	}
	bool lit = patterns[sign].bits >> step & 1;
	if (lit != l->lit)
		port->led(port->ctx, lit);
	l->lit = lit;
	return STEP - (now - l->began) % STEP;
}
