/*
 * The tests' board: flash, RTC memory, a clock, a socket, a serial line and pins, all in memory.
 * Time passes only in udp_wait and fake_pass. A test reads here what the node did, and sets what
 * the board gives to the node. It also holds the heap, with a limit.
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
	bool timer; /* the board's own timer let go */
};

struct fake_port {
	struct lk_port port; /* what the node gets */

	uint32_t now;
	enum lk_boot boot;
	const uint8_t *random; /* scripted bytes, used first; after them come made up ones */
	size_t random_n;
	uint32_t random_state;
	bool random_fails;

	int join_result;
	unsigned joins;
	char ssid[33], password[65];
	bool net;

	int open_result, send_result; /* an error to return, or 0 */
	unsigned opens;
	char host[64];
	uint16_t host_port;
	struct fake_datagram sent[FAKE_QUEUE]; /* the oldest first; fake_sent takes them */
	size_t sents;
	unsigned sent_total;
	struct fake_datagram inbox[FAKE_QUEUE];
	size_t inboxes;
	/* Called in udp_wait with the most it may wait, so that a test can answer; it may call
	 * fake_deliver. */
	void (*on_wait)(void *ctx, uint32_t ms);
	void *on_wait_ctx;
	uint32_t waited; /* in all */

	struct fake_value kv[FAKE_KEYS];
	unsigned kv_writes;
	/* this many writes, and then the power is cut: those after it do nothing and fail. -1: no
	 * cut */
	int kv_power;
	bool kv_get_fails;
	uint8_t rtc[LK_RTC_MAX];
	bool rtc_fails;

	/* The chip at the SPI bus; none: it reads as zeros. */
	int (*spi)(void *ctx, const uint8_t *tx, uint8_t *rx, size_t n);
	void *spi_ctx;
	unsigned spis;
	bool chip_held;
	unsigned chip_resets; /* times it was put into reset */

	bool inputs[LK_INPUT_TAMPER + 1];
	uint8_t level;      /* of the output, now */
	uint32_t off_at;    /* when the board lets go; only if armed */
	bool off_armed;
	struct fake_output outputs[FAKE_OUTPUTS];
	size_t output_n;
	bool led;
	unsigned leds; /* changes */

	uint32_t voltage;
	int32_t rssi;
	unsigned feeds, restarts, sleeps;
	uint32_t slept; /* ms of the last */

	const char *typed; /* what the console reads next, or NULL */
	size_t typed_n;
	char printed[FAKE_TEXT]; /* what it printed, cut at its end if that is too much */
	size_t printed_n;
	char logged[FAKE_TEXT]; /* lines "text number\n" */
	size_t logged_n;
};

/* A board that was just switched on: net up, flash empty, 3300 mV, −60 dBm. */
void fake_init(struct fake_port *f);
/* The same board after a reset: flash stays, RTC memory only on LK_BOOT_WAKE, the output is off,
 * the records begin anew. */
void fake_reboot(struct fake_port *f, enum lk_boot why);
/* Lets time pass, and the board's own timer with it. */
void fake_pass(struct fake_port *f, uint32_t ms);

/* What flash holds under key as text, or NULL. Valid until the next write. */
const char *fake_kv(const struct fake_port *f, const char *key);
void fake_kv_put(struct fake_port *f, const char *key, const void *b, size_t n);
void fake_kv_text(struct fake_port *f, const char *key, const char *text);

/* Puts a datagram where udp_recv finds it. */
void fake_deliver(struct fake_port *f, const uint8_t *b, size_t n);
/* Takes the oldest datagram that the node sent: its length, or 0. */
size_t fake_sent(struct fake_port *f, uint8_t *b, size_t cap);

void fake_type(struct fake_port *f, const char *text);
/* Forgets what was printed. */
void fake_clear(struct fake_port *f);

/* The heap of lk_port_calloc. */
struct fake_heap {
	size_t used, peak, limit; /* limit 0: none */
	unsigned allocs;          /* alive now */
};
extern struct fake_heap fake_heap;

#endif
