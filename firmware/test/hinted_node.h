/*
 * A node (clear_node.h) for tests of hints. A hint tells the node that the gateway no longer has
 * its session; the node then pings the gateway. The test plays the gateway's answers here. Include
 * it once in a program.
 */
#ifndef LK_HINTED_NODE_H
#define LK_HINTED_NODE_H

#include "clear_node.h"

/* The node's newest message that is not a ping; how many pings it sent; the message ID of the
 * newest ping. */
static struct lk_coap asked;
static uint8_t asked_b[FAKE_DATAGRAM];
static unsigned pings;
static uint16_t ping;

static inline bool take_sent(void)
{
	bool any = false;
	uint8_t b[FAKE_DATAGRAM];
	size_t n;

	while ((n = fake_take_sent(&board, b, sizeof b)) > 0) {
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

	fake_deliver(&board, b, write_answer(b, sizeof b, &asked, code, location, echo, NULL, 0));
}

static inline void send_pong(uint16_t mid)
{
	const uint8_t b[] = {0x70, 0, (uint8_t)(mid >> 8), (uint8_t)mid};

	fake_deliver(&board, b, sizeof b);
}

/* Lets the node work for ms. If the gateway is there, it answers requests and pings. */
static inline void pass_time(uint32_t ms, bool there)
{
	for (uint32_t gone = 0; gone < ms;) {
		uint32_t due = lk_node_step(&node);
		unsigned before = pings;
		if (take_sent() && there)
			answer(LK_COAP_CHANGED, NULL);
		if (pings > before && there)
			send_pong(ping);
		due = due < 1 ? 1 : due > 50 ? 50 : due;
		if (due > ms - gone)
			due = ms - gone;
		fake_pass_time(&board, due);
		gone += due;
	}
}

/* Starts a node and lets it connect and ask for its registration. */
static inline void begin_registration(bool lock)
{
	init_node(lock);
	clear_handshake = clear_open = 0;
	clear_due = UINT32_MAX;
	pings = 0;
	for (int i = 0; i < 100 && !take_sent(); i++)
		fake_pass_time(&board, lk_node_step(&node) > 20 ? 20 : 1);
}

static inline void bring_online(bool lock)
{
	begin_registration(lock);
	answer(LK_COAP_CREATED, "rd/ab");
	(void)lk_node_step(&node);
	CHECK(lk_node_is_online(&node));
}

/* Gives the node a hint that it follows. Clears the log first. */
static inline void give_hint(void)
{
	board.logged_n = 0;
	board.logged[0] = 0;
	node.link.dtls->hinted = true;
	(void)lk_node_step(&node);
	(void)take_sent();
	CHECK_EQ(node.renewal.state, LK_RENEWAL_PING);
	CHECK_EQ(pings, 1);
}

/* Advances the clock by ms at once, and returns how long the node would wait then. */
static inline uint32_t due_after(uint32_t ms)
{
	fake_pass_time(&board, ms);
	uint32_t due = lk_node_step(&node);
	(void)take_sent();
	return due;
}

#endif
