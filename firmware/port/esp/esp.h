/*
 * What the ESP8266 and the ESP32 have in common: WiFi, one UDP socket, flash by key, random bytes, RTC memory, the serial line and the
 * clock, for ESP8266_RTOS_SDK v3.4 and ESP-IDF v5.x. It knows no pin: port_esp8266.c and port_esp32.c add those, and the watchdog.
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

struct lk_esp {
	uint32_t flash; /* the handle of our NVS namespace */
	bool flash_open;

	esp_timer_handle_t every_second;
	bool radio;         /* WiFi was started */
	atomic_bool apart;  /* but is not connected, nor trying to be */
	atomic_bool joined; /* connected, with an address */

	int sock;
	const char *host;     /* the name that is being looked up */
	atomic_bool asking;   /* DNS has not answered yet */
	atomic_uint answered; /* the IPv4 address it answered, as it goes over the wire; 0: none */

	bool seeded;
	uint32_t block; /* counts what was made from pool */
	uint8_t pool[32];
};

/* Opens flash and the serial line, and fills in the members of port that are the same on both chips. e is port's ctx. */
void lk_esp_init(struct lk_esp *e, struct lk_port *port);

#endif
