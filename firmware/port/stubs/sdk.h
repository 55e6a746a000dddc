/* A fake of the ESP8266's SDK. It records what the port asked for, and a test sets what it
 * answers. */
#ifndef LK_STUB_SDK_H
#define LK_STUB_SDK_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/gpio.h"
#include "driver/hw_timer.h"
#include "esp_event.h"
#include "esp_timer.h"
#include "esp_wifi.h"
#include "lwip/dns.h"
#include "lwip/sockets.h"

#define OUTPUT GPIO_NUM_5

struct sdk {
	unsigned calls, first_output_call; /* calls of gpio_set_level; which was the first for the output */
	uint32_t level[17];
	gpio_mode_t mode[17];
	hw_timer_callback_t tick;
	void *tick_arg;
	esp_timer_cb_t watch, rejoin;
	void *watch_arg, *rejoin_arg;
	jmp_buf aborted;
	unsigned aborts, connects;
	bool selected_during; /* chip select low while SPI ran */
	bool pwm;
	struct {
		char key[16];
		uint8_t value[64];
		size_t n;
		bool text;
	} flash[8];
	unsigned commits;
	char opened[16]; /* the newest namespace */
	bool flash_broken;
	wifi_sta_config_t sta;
	esp_event_handler_t on_event;
	void *on_event_arg;
	esp_err_t connect_result;
	ip_addr_t server; /* of DNS; 0: DHCP named none */
	int sockets, closed;
	bool connected;
	struct sockaddr_in to;
	int64_t us;
	char printed[200];
};
extern struct sdk sdk;

/* The index in sdk.flash of a key that is stored as text or not, or -1. */
int sdk_find(const char *key, bool text);

#endif
