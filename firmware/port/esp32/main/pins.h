/*
 * Which pin of an ESP32 DevKit does what, for each wiring. The output is the same pin in every
 * image and low where a role has none, so a wrong image keeps the door shut. GPIO27 floats until
 * the program starts and is no strap; 0, 2, 5, 12 and 15 are straps, 1 and 3 the serial line, 6 to
 * 11 the flash's, 34 to 39 have no pull-ups and no outputs.
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

#define LK_PIN_OUTPUT GPIO_NUM_27 /* 10 kΩ to ground. High: the relay pulls, the lamp burns */

/* The module's own light: high is lit. At the case, to ground while it is shut. */
#define LK_COMMON .led = GPIO_NUM_2, .led_high = true, .tamper = LK_TAMPER ? GPIO_NUM_25 : GPIO_NUM_NC

/* The bus uses SPI3's own pins, which bypass the pin matrix. The reset has 10 kΩ to ground: the
 * chip stays off until we want it, and while we sleep. */
#define LK_CHIP \
	.clock = GPIO_NUM_18, .miso = GPIO_NUM_19, .mosi = GPIO_NUM_23, .chip_select = GPIO_NUM_21, \
	.chip_reset = GPIO_NUM_22

/* The button is a switch's, or a lock's exit button: to ground when pressed. The contact is to
 * ground while the door is shut, so a cut wire reads as open. */
#define LK_DOOR .button = GPIO_NUM_32, .contact = GPIO_NUM_26

static const struct lk_esp_pins reader_pins = {
	LK_COMMON, LK_CHIP,
	.button = LK_PIN_NONE,
	.contact = LK_PIN_NONE,
	.wake = LK_PIN_NONE,
};

static const struct lk_esp_pins battery_pins = {
	LK_COMMON, LK_CHIP,
	.button = LK_PIN_NONE,
	.contact = LK_PIN_NONE,
	.wake = GPIO_NUM_33, /* to ground to end deep sleep */
};

/* Of a lock, a switch or a lamp. */
static const struct lk_esp_pins door_pins = {
	LK_COMMON, LK_DOOR,
	.clock = LK_PIN_NONE,
	.miso = LK_PIN_NONE,
	.mosi = LK_PIN_NONE,
	.chip_select = LK_PIN_NONE,
	.chip_reset = LK_PIN_NONE,
	.wake = LK_PIN_NONE,
};

/* Of a board that is reader and lock. */
static const struct lk_esp_pins reader_lock_pins = {
	LK_COMMON, LK_CHIP, LK_DOOR,
	.wake = LK_PIN_NONE,
};

#endif
