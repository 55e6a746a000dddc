/*
 * A node in the clear that is given hints, and the gateway's answers to what it asks then. To be
 * included once in a program: it holds the node, and takes the place of dtls.c (see clear_dtls.h).
 */
#ifndef LK_HINTED_NODE_H
#define LK_HINTED_NODE_H

#include "act.h"
#include "check.h"
#include "clear_dtls.h"
#include "fake_port.h"
#include "node.h"

static const uint8_t uid[] = {4, 1, 2, 3, 4, 5, 6};

static struct fake_port board;
static struct lk_settings settings;
static struct lk_counter counter;
static struct lk_actuator actuator;
static const struct lk_served served = {&lk_act, &actuator};
static struct lk_node node;

/* The newest of the messages that the node sent, and how many of them were pings. */
static struct lk_coap asked;
static uint8_t asked_b[FAKE_DATAGRAM];
static unsigned pings;
static uint16_t ping;

static inline bool sent(void)
{
	bool any = false;
	uint8_t b[FAKE_DATAGRAM];
	size_t n;

	while ((n = fake_sent(&board, b, sizeof b)) > 0) {
		struct lk_coap m;
		if (lk_coap_parse(&m, b, n) < 0)
			continue;
		if (m.type == LK_COAP_CON && m.code == LK_COAP_EMPTY) {
			pings++;
			ping = m.mid;
			continue;
		}
		memcpy(asked_b, b, n);
		any = lk_coap_parse(&asked, asked_b, n) == 0;
	}
	return any;
}

static inline void answer(uint8_t code, const char *location)
{
	static const uint8_t echo[8] = {1};
	uint8_t b[LK_MESSAGE_MAX];
	struct lk_coap_out o;

	lk_coap_begin(&o, b, sizeof b, LK_COAP_ACK, code, asked.mid, asked.token, asked.token_len);
	if (location)
		lk_coap_option_path(&o, LK_COAP_LOCATION_PATH, location);
	lk_coap_option(&o, LK_COAP_ECHO, echo, sizeof echo);
	int len = lk_coap_end(&o, 0);
	CHECK(len > 0);
	fake_deliver(&board, b, (size_t)len);
}

static inline void pong(uint16_t mid)
{
	const uint8_t b[] = {0x70, 0, (uint8_t)(mid >> 8), (uint8_t)mid};

	fake_deliver(&board, b, sizeof b);
}

/* Lets ms pass; what is asked is answered if the gateway is there. */
static inline void pass(uint32_t ms, bool there)
{
	for (uint32_t gone = 0; gone < ms;) {
		uint32_t due = lk_node_step(&node);
		unsigned before = pings;
		if (sent() && there)
			answer(LK_COAP_CHANGED, NULL);
		if (pings > before && there)
			pong(ping);
		due = due < 1 ? 1 : due > 50 ? 50 : due;
		if (due > ms - gone)
			due = ms - gone;
		fake_pass(&board, due);
		gone += due;
	}
}

/* Lets it connect and ask for its registration. */
static inline void registering(bool lock)
{
	fake_init(&board);
	memset(&settings, 0, sizeof settings);
	memcpy(settings.host, "gw", 3);
	memset(&counter, 0, sizeof counter);
	(void)lk_counter_load(&counter, &board.port);
	lk_actuator_init(&actuator, &board.port, false);
	lk_node_init(&node, &board.port, &settings, &counter, lock ? &served : NULL);
	clear_handshake = clear_open = 0;
	clear_due = UINT32_MAX;
	pings = 0;
	for (int i = 0; i < 100 && !sent(); i++)
		fake_pass(&board, lk_node_step(&node) > 20 ? 20 : 1);
}

static inline void online(bool lock)
{
	registering(lock);
	answer(LK_COAP_CREATED, "rd/ab");
	(void)lk_node_step(&node);
	CHECK(lk_node_is_online(&node));
}

/* Has the node follow a hint; what it logs from now on is kept. */
static inline void hint(void)
{
	board.logged_n = 0;
	board.logged[0] = 0;
	node.link.dtls->hinted = true;
	(void)lk_node_step(&node);
	(void)sent();
	CHECK_EQ(node.renewal.state, LK_RENEWAL_PING);
	CHECK_EQ(pings, 1);
}

/* Lets ms pass, and tells how long the node would wait then. */
static inline uint32_t due_after(uint32_t ms)
{
	fake_pass(&board, ms);
	uint32_t due = lk_node_step(&node);
	(void)sent();
	return due;
}

static inline bool logged(const char *text) { return strstr(board.logged, text) != NULL; }

#endif
