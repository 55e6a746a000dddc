/*
 * What a board gives a node. core/ includes nothing of a board: it calls these functions, all from
 * one task, and none of them blocks but udp_wait, kv_set (as long as flash takes) and spi.
 *
 * Times are milliseconds. Functions that return int return zero or a length, or a negative LK_E… of
 * err.h.
 */
#ifndef LK_PORT_H
#define LK_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lk_input {
	LK_INPUT_BUTTON,  /* a switch's button; at a lock the exit button. true: pressed */
	LK_INPUT_CONTACT, /* the door's contact. true: open */
	LK_INPUT_TAMPER,  /* the case. true: open */
};

/* Why the node started. */
enum lk_boot {
	LK_BOOT_POWER,
	LK_BOOT_RESET,    /* by the reset pin, or by itself after "save" */
	LK_BOOT_WATCHDOG, /* the loop hung, or the program crashed */
	LK_BOOT_WAKE,     /* from deep sleep: the RTC memory holds what it held */
};

enum {
	LK_RTC_MAX = 512,  /* bytes of RTC memory on an ESP8266 that are the program's own */
	LK_MOST_NODES = 2, /* nodes on one board */
};

struct lk_port {
	void *ctx; /* the board, passed to each function but those that get own */
	/* What belongs to one node, passed to the functions of the socket, the flash and the log. A
	 * board with two nodes gives each a struct lk_port of its own, which differ in this. */
	void *own;

	/* Monotonic time since some moment of this boot; it wraps after 49 days, so only differences
	 * mean something. */
	uint32_t (*now)(void *ctx);
	/* Fills buf with random bytes fit for keys, or fails: never with less. */
	int (*random)(void *ctx, uint8_t *buf, size_t n);
	enum lk_boot (*boot)(void *ctx);

	/* Joins the WiFi, and again whenever it is lost; ready tells whether datagrams may go now. */
	int (*net_join)(void *ctx, const char *ssid, const char *password);
	bool (*net_ready)(void *ctx);

	/* One UDP socket of the node's own to the gateway. open takes a new source port each time,
	 * closing the socket before. host is an address; a name only after udp_ask returned LK_ENONE.
	 * LK_EAGAIN: to be called again. send succeeds also with what the network then loses. */
	int (*udp_open)(void *own, const char *host, uint16_t port);
	/* Opens the same socket for a question about name: to the network's DNS server or, if local, to
	 * the group 224.0.0.251 port 5353, from where anybody may answer. LK_ENONE: the board asks
	 * nobody, and udp_open takes the name. */
	int (*udp_ask)(void *own, const char *name, bool local);
	int (*udp_send)(void *own, const uint8_t *b, size_t n);
	/* The next datagram, its first cap bytes if it is longer: its length, 0 if there is none now.
	 * Never waits. */
	int (*udp_recv)(void *own, uint8_t *b, size_t cap);
	/* Waits until there is a datagram for one of the nodes, or something at the serial line, or ms
	 * have passed. */
	void (*udp_wait)(void *ctx, uint32_t ms);

	/* The node's flash, by key (at most 15 characters). get returns the length, 0 if there is none;
	 * a value longer than cap is LK_ESPACE. What set has written holds when it returns 0, and a
	 * power cut leaves the old value or the new one. An empty value removes the key. */
	int (*kv_get)(void *own, const char *key, uint8_t *b, size_t cap);
	int (*kv_set)(void *own, const char *key, const uint8_t *b, size_t n);

	/* Memory that survives deep sleep and a reset, but not the loss of power: it then holds any
	 * bytes. n is at most LK_RTC_MAX and a multiple of 4. */
	int (*rtc_get)(void *ctx, uint8_t *b, size_t n);
	int (*rtc_set)(void *ctx, const uint8_t *b, size_t n);

	/* One transfer with the card reader's chip select low: n bytes out and in, n is 2…64. rx may be
	 * tx. */
	int (*spi)(void *ctx, const uint8_t *tx, uint8_t *rx, size_t n);
	/* The card reader's reset pin: true holds the chip in reset. */
	void (*chip_reset)(void *ctx, bool held);

	bool (*input)(void *ctx, enum lk_input which);
	/* The relay (anything above 0 is on) or the lamp, 0…100. With ms above 0 the board itself
	 * switches it off after that time, by a timer that does not need this loop. Called with 0
	 * before anything else at boot. */
	void (*output)(void *ctx, uint8_t level, uint32_t ms);
	void (*led)(void *ctx, bool on);

	/* The supply in mV and the signal in dBm; 0 where the board cannot tell. */
	uint32_t (*voltage)(void *ctx);
	int32_t (*rssi)(void *ctx);

	/* Tells the watchdog that the loop lives. Left alone for 5 s it restarts the board, output
	 * off. */
	void (*feed)(void *ctx);
	/* Restarts the board. */
	void (*restart)(void *ctx);
	/* Deep sleep until the wake pin, or until ms have passed. The program begins anew. */
	void (*sleep)(void *ctx, uint32_t ms);

	/* The serial line: the next byte, or -1. print writes text as it stands. */
	int (*console_read)(void *ctx);
	void (*print)(void *ctx, const char *text);
	/* One line of log: text, and the number after a space. Never a secret, a UID or a payload. */
	void (*log)(void *own, const char *text, uint32_t number);
};

/* Heap, for Mbed TLS alone. A board provides them; memory comes zeroed. */
void *lk_port_calloc(size_t n, size_t size);
void lk_port_free(void *p);

#endif
