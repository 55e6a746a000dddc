/*
 * The tests' board: flash, RTC memory, a clock, a socket, a serial line and pins, all in memory.
 * Time passes only in udp_wait and fake_pass_time. A test reads here what the node did, and sets
 * what the board gives to the node. The heap is here too, and a test can limit it.
 */
#ifndef LK_FAKE_PORT_H
#define LK_FAKE_PORT_H

#include "port.h"

enum {
	FAKE_KEYS = 24,
	FAKE_VALUE = 1100,
	FAKE_DATAGRAM = 1500,
	FAKE_QUEUE = 32,
	FAKE_OUTPUTS = 64,
	FAKE_TEXT = 16384,
};

struct fake_value {
	char key[16]; /* empty: none */
	size_t n;
	uint8_t b[FAKE_VALUE];
};

struct fake_datagram {
	size_t n;
	uint8_t b[FAKE_DATAGRAM];
};

struct fake_output {
	uint32_t at;
	uint8_t level;
	uint32_t ms;
	bool timer; /* switched off by the board's own timer */
};

struct fake_port {
	struct lk_port port; /* handed to the node */

	uint32_t now;
	enum lk_boot boot;
	const uint8_t *random; /* these bytes are used first; pseudo-random ones follow */
	size_t random_n;
	uint32_t random_state;
	bool random_fails;

	int join_result;
	unsigned joins;
	char ssid[33], password[65];
	bool net;

	int open_result, send_result; /* an error to return, or 0 */
	int ask_result;               /* likewise; LK_ENONE at first */
	unsigned asks;
	bool asks_local; /* the newest was for a name of the local network */
	unsigned opens;
	char host[64];
	uint16_t host_port;
	struct fake_datagram sent[FAKE_QUEUE]; /* oldest first; fake_take_sent removes them */
	size_t sent_n;
	unsigned sent_total;
	struct fake_datagram inbox[FAKE_QUEUE];
	size_t inbox_n;
	/* udp_wait calls it with the longest time it may wait, so that a test can answer by
	 * fake_deliver. */
	void (*on_wait)(void *ctx, uint32_t ms);
	void *on_wait_ctx;
	uint32_t waited; /* ms in total */

	struct fake_value kv[FAKE_KEYS];
	unsigned kv_writes;
	/* after this many writes the power is cut: later writes fail and change nothing. -1: never */
	int kv_power;
	bool kv_get_fails;
	uint8_t rtc[LK_RTC_MAX];
	bool rtc_fails;

	/* The chip on the SPI bus. NULL: every transfer reads zeros. */
	int (*spi)(void *ctx, const uint8_t *tx, uint8_t *rx, size_t n);
	void *spi_ctx;
	unsigned spis;
	bool chip_held;
	unsigned chip_resets; /* times it was put into reset */

	bool inputs[LK_INPUT_TAMPER + 1];
	uint8_t level;      /* the output's current level */
	uint32_t off_at;    /* when the board's timer switches the output off, if off_armed */
	bool off_armed;
	struct fake_output outputs[FAKE_OUTPUTS];
	size_t output_n;
	bool led;
	unsigned leds; /* how often the LED changed */

	uint32_t voltage;
	int32_t rssi;
	unsigned feeds, restarts, sleeps;
	uint32_t slept; /* ms that the last sleep asked for */

	const char *typed; /* what the console reads next, or NULL */
	size_t typed_n;
	char printed[FAKE_TEXT]; /* what it printed; what does not fit is dropped */
	size_t printed_n;
	char logged[FAKE_TEXT]; /* lines "text number\n" */
	size_t logged_n;
};

/* Makes a board that was just switched on: network up, flash empty, 3300 mV, −60 dBm. */
void fake_init(struct fake_port *f);
/* Resets the board. Flash is kept, RTC memory only on LK_BOOT_WAKE. The output is off, and what was
 * recorded is cleared. */
void fake_reboot(struct fake_port *f, enum lk_boot why);
/* Advances the clock, and runs the board's own timer when it is due. */
void fake_pass_time(struct fake_port *f, uint32_t ms);

/* The text that flash holds under key, or NULL. Valid until the next write. */
const char *fake_kv(const struct fake_port *f, const char *key);
void fake_kv_put(struct fake_port *f, const char *key, const void *b, size_t n);
void fake_kv_put_text(struct fake_port *f, const char *key, const char *text);
/* Writes the settings without which a node does not start. */
void fake_provision(struct fake_port *f, const char *kind, const char *identity);

/* Puts a datagram where udp_recv finds it. */
void fake_deliver(struct fake_port *f, const uint8_t *b, size_t n);
/* Removes the oldest datagram that the node sent. Returns its length, or 0 if there is none. */
size_t fake_take_sent(struct fake_port *f, uint8_t *b, size_t cap);

void fake_type(struct fake_port *f, const char *text);
/* Clears what was printed. */
void fake_clear_printed(struct fake_port *f);

/* The heap of lk_port_calloc. */
struct fake_heap {
	size_t used, peak, limit; /* limit 0: none */
	unsigned allocs;          /* not yet freed */
};
extern struct fake_heap fake_heap;

#endif
