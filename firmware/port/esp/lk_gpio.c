#include "lk_gpio.h"

#include <string.h>

static bool is_high(int pin) { return pin != LK_PIN_NONE && gpio_get_level((gpio_num_t)pin) != 0; }

static bool input(void *ctx, enum lk_input which)
{
	const struct lk_esp_pins *pins = ((const struct lk_esp *)ctx)->pins;

	switch (which) {
	case LK_INPUT_BUTTON:
		return pins->button != LK_PIN_NONE && !is_high(pins->button);
	case LK_INPUT_CONTACT:
		return is_high(pins->contact);
	case LK_INPUT_TAMPER:
		return is_high(pins->tamper);
	}
	return false;
}

static void led(void *ctx, bool on)
{
	const struct lk_esp_pins *pins = ((const struct lk_esp *)ctx)->pins;

	(void)gpio_set_level((gpio_num_t)pins->led, on == pins->led_high);
}

static void chip_reset(void *ctx, bool held)
{
	int pin = ((const struct lk_esp *)ctx)->pins->chip_reset;

	if (pin != LK_PIN_NONE)
		(void)gpio_set_level((gpio_num_t)pin, !held);
}

void lk_esp_set_up_pin(int pin, gpio_mode_t mode, gpio_pullup_t pull_up)
{
	gpio_config_t c;

	if (pin == LK_PIN_NONE)
		return;
	memset(&c, 0, sizeof c);
	c.pin_bit_mask = (__typeof__(c.pin_bit_mask))1 << (unsigned)pin;
	c.mode = mode;
	c.pull_up_en = pull_up;
	(void)gpio_config(&c);
}

void lk_esp_gpio_init(struct lk_esp *e, struct lk_port *port)
{
	port->input = input;
	port->led = led;
	port->chip_reset = chip_reset;

	led(e, false);
	lk_esp_set_up_pin(e->pins->led, GPIO_MODE_OUTPUT, GPIO_PULLUP_DISABLE);
	lk_esp_set_up_pin(e->pins->button, GPIO_MODE_INPUT, GPIO_PULLUP_ENABLE);
	lk_esp_set_up_pin(e->pins->contact, GPIO_MODE_INPUT, GPIO_PULLUP_ENABLE);
	lk_esp_set_up_pin(e->pins->tamper, GPIO_MODE_INPUT, GPIO_PULLUP_ENABLE);
	chip_reset(e, true);
	lk_esp_set_up_pin(e->pins->chip_reset, GPIO_MODE_OUTPUT, GPIO_PULLUP_DISABLE);
}
