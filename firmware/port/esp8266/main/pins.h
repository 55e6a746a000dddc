/*
 * Which pin of a NodeMCU does what, for each wiring. README.md has the wiring, and why.
 *
 * GPIO5 is the output in every image, driven low where a role has none: so a reader's image on a
 * lock's board keeps the door shut. Of all pins only 4 and 5 float from power-on to the program's
 * start, so only there can a resistor to ground hold a relay off. 0, 1, 2, 3, 12, 13, 14 and 16 are
 * high then, 15 low with a glitch; 6 to 11 are the flash's. There are too few for a reader and a
 * lock on one board.
 */
#ifndef LK_PINS_H
#define LK_PINS_H

#include "driver/gpio.h"

#include "esp.h"

/* The build says which table, and what else is there. */
#ifndef LK_TAMPER
#define LK_TAMPER 0
#endif
#ifndef LK_DIM
#define LK_DIM 0
#endif

#define LK_PIN_OUTPUT GPIO_NUM_5 /* D1. 10 kΩ to ground. High: the relay pulls, the lamp burns */

/* D4, the module's own light. Low: lit. Must be high at power-on, and an LED to 3.3 V leaves it
 * so. */
#define LK_LIGHT .led = GPIO_NUM_2, .led_high = false

/* The bus of the card reader is HSPI, whose clock, MISO and MOSI are fixed: 14 (D5), 12 (D6), 13
 * (D7). */
#define LK_BUS .clock = LK_PIN_NONE, .miso = LK_PIN_NONE, .mosi = LK_PIN_NONE
/* D8 is low at power-on, so the chip is selected, but without a clock that does nothing. D2 has
 * 10 kΩ to ground: the chip stays off until the program starts it, and during sleep. */
#define LK_CHIP .chip_select = GPIO_NUM_15, .chip_reset = GPIO_NUM_4

static const struct lk_esp_pins reader_pins = {
	LK_LIGHT, LK_BUS, LK_CHIP,
	.button = LK_PIN_NONE,
	.contact = LK_PIN_NONE,
	/* D0, to ground while the case is shut; it has no pull-up inside: 10 kΩ to 3.3 V. */
	.tamper = LK_TAMPER ? GPIO_NUM_16 : LK_PIN_NONE,
	.wake = LK_PIN_NONE,
};

/* Of a reader on a battery: GPIO16 goes to RST, to end deep sleep. */
static const struct lk_esp_pins battery_pins = {
	LK_LIGHT, LK_BUS, LK_CHIP,
	.button = LK_PIN_NONE,
	.contact = LK_PIN_NONE,
	.tamper = LK_PIN_NONE,
	.wake = LK_PIN_NONE,
};

/* Of a lock, a switch or a lamp. */
static const struct lk_esp_pins door_pins = {
	LK_LIGHT, LK_BUS,
	.chip_select = LK_PIN_NONE,
	.chip_reset = LK_PIN_NONE,
	.button = GPIO_NUM_4,   /* D2, to ground when pressed: a switch's, or a lock's exit button */
	.contact = GPIO_NUM_14, /* D5, to ground while the door is shut, so a cut wire reads as open */
	.tamper = LK_TAMPER ? GPIO_NUM_12 : LK_PIN_NONE, /* D6, to ground while the case is shut, likewise */
	.wake = LK_PIN_NONE,
};

#endif
