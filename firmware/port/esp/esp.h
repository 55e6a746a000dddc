/*
 * What the ESP8266 and the ESP32 have in common, for ESP8266_RTOS_SDK v3.4 and ESP-IDF v5.x: the
 * state of a board, on which the other files of this folder work. Each of those fills in its
 * members of struct lk_port; esp_board.c joins them. port_esp8266.c and port_esp32.c add the output
 * with its timer, the card reader and the watchdog.
 *
 * Not run on a board yet.
 */
#ifndef LK_ESP_H
#define LK_ESP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "esp_timer.h"

#include "port.h"

/* Which pin does what; LK_PIN_NONE: none. */
struct lk_esp_pins {
	int led;
	bool led_high; /* high: lit */
	int button, contact, tamper;
	int chip_select, chip_reset; /* the card reader's */
	int clock, miso, mosi;       /* and its bus, where it is not fixed */
	int wake;                    /* to ground to end deep sleep */
};
#define LK_PIN_NONE (-1)

/* What each node on the board has for itself. It is own of its struct lk_port. */
struct lk_esp_node {
	const char *name; /* "": the first */
	uint32_t flash;   /* the handle of its NVS namespace */
	bool flash_open;
	int sock;
	bool asks_group; /* sock is for a question to the local network */
};

/* It is ctx of each struct lk_port. */
struct lk_esp {
	const struct lk_esp_pins *pins;

	esp_timer_handle_t every_second;
	bool radio;         /* WiFi was started */
	atomic_bool apart;  /* but is neither connected nor connecting */
	atomic_bool joined; /* connected, with an address */

	struct lk_esp_node nodes[LK_MOST_NODES];
	int count; /* of nodes */

	bool seeded;
	uint32_t block; /* counts what was made from pool */
	uint8_t pool[32];
};

#endif
