#include "switch.h"

static uint32_t step(struct lk_unit *u, uint32_t now)
{
	struct lk_debounce *button = &((struct lk_switch *)u)->button;
	bool pressed = lk_debounce_update(button, lk_unit_input(u, LK_INPUT_BUTTON), now) && button->now;

	if (pressed && !lk_node_press(&u->node, LK_TOGGLE, button->since))
		lk_led_show_once(u->led, LK_LED_RETRY, now);
	return LK_INPUTS_EVERY;
}

const struct lk_role lk_role_switch = {
	LK_ROLE_TEXTS("switch"),
	.step = step,
};
