/*
 * A node with a session, and any messages from its gateway, in the form of test/trace.h. The node
 * neither crashes nor hangs, and sends only CoAP. Only a command with an Echo of the node's own, or
 * the exit button, moves its output. A door's output is never on for longer than the limit, and
 * never after the session is lost.
 */
#include <stdlib.h>
#include <string.h>

#include "act.h"
#include "clear_dtls.h"
#include "fake_port.h"
#include "node.h"
#include "trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_port board;
static struct lk_settings settings;
static struct lk_counter counter;
static struct lk_actuator actuator;
static const struct lk_served served = {&lk_act, &actuator};
static struct lk_node node;
static bool lamp;

/* Message ID and token of the node's newest request, and the newest Echo that it issued. */
static uint16_t mid;
static uint8_t token[LK_TOKEN_LEN], echo[LK_ECHO_LEN];

static void note_message(const uint8_t *b, size_t n)
{
	struct lk_coap_option o = {0};
	struct lk_coap m;

	if (n > LK_DATAGRAM_MAX || lk_coap_parse(&m, b, n) < 0)
		abort();
	if (m.type == LK_COAP_CON) {
		mid = m.mid;
		if (m.token_len == sizeof token)
			memcpy(token, m.token, sizeof token);
		return;
	}
	while (lk_coap_next(&m, &o))
		if (o.number == LK_COAP_ECHO && o.len == sizeof echo)
			memcpy(echo, o.value, sizeof echo);
}

/* Reads what the node sent, and checks the output. allowed: it may have been switched on since the
 * last call. */
static void check_output(bool allowed)
{
	static uint8_t level;
	uint8_t b[FAKE_DATAGRAM];
	size_t n;

	while ((n = fake_take_sent(&board, b, sizeof b)) > 0)
		note_message(b, n);
	if (board.level != 0 && board.level != level && !allowed)
		abort();
	level = board.level;
	if (lamp || level == 0)
		return;
	if (!board.off_armed || board.off_at - board.now > LK_PULSE_LIMIT)
		abort();
	if (node.state != LK_NODE_UP && actuator.commanded)
		abort();
}

static void step(bool allowed)
{
	uint32_t due = lk_node_step(&node);
	int verdict;

	(void)lk_intent_take_verdict(&node.intent, &verdict);
	(void)lk_actuator_poll(&actuator, board.now);
	check_output(allowed);
	fake_pass_time(&board, due < 20 ? due : 20);
}

/* Replaces the IDs and the Echo of a message of n bytes by those of the node, which are as long. */
static void patch(uint8_t *b, size_t n, uint8_t how)
{
	struct lk_coap_option o = {0};
	struct lk_coap m;

	if (lk_coap_parse(&m, b, n) < 0)
		return;
	if (how & TRACE_IDS && m.code >> 5 != 0 && m.token_len == sizeof token)
		memcpy(b + 4, token, sizeof token);
	if (how & TRACE_IDS && (m.type == LK_COAP_ACK || m.type == LK_COAP_RST)) {
		b[2] = (uint8_t)(mid >> 8);
		b[3] = (uint8_t)mid;
	}
	while (how & TRACE_ECHO && m.code >> 5 == 0 && lk_coap_next(&m, &o))
		if (o.number == LK_COAP_ECHO && o.len == sizeof echo)
			memcpy(b + (o.value - b), echo, sizeof echo);
}

static bool carries_echo(const uint8_t *b, size_t n)
{
	for (size_t i = 0; i + sizeof echo <= n; i++)
		if (memcmp(b + i, echo, sizeof echo) == 0)
			return true;
	return false;
}

/* Does what people did before a message. Returns whether that may switch the output on. */
static bool let_people_act(uint8_t how, bool lock, bool button)
{
	static const uint8_t uid[] = {4, 1, 2, 3, 4, 5, 6};

	if (how & TRACE_TAP && button)
		(void)lk_node_press(&node, LK_UNLOCK, board.now);
	else if (how & TRACE_TAP && !lock && !lamp)
		(void)lk_node_scan(&node, uid, sizeof uid, board.now);
	if (how & TRACE_DOOR) {
		actuator.contact = how & TRACE_EXIT ? LK_CONTACT_OPEN : LK_CONTACT_CLOSED;
		node.report.tamper = how & TRACE_EXIT;
		lk_node_report(&node, LK_REPORT_CONTACT | LK_REPORT_OPENED | LK_REPORT_TAMPER | LK_REPORT_TAMPERED);
	}
	if (!(how & TRACE_EXIT) || !lock)
		return false;
	lk_actuator_open_from_inside(&actuator, board.now);
	lk_node_report(&node, LK_REPORT_EXIT);
	return true;
}

static void boot(bool moves)
{
	fake_init(&board);
	memset(&settings, 0, sizeof settings);
	memcpy(settings.host, "gw", 3);
	memcpy(settings.target, "desk", 5);
	memset(&counter, 0, sizeof counter);
	memset(echo, 0, sizeof echo);
	(void)lk_counter_load(&counter, &board.port);
	lk_actuator_init(&actuator, &board.port, lamp);
	lk_node_init(&node, &board.port, &settings, &counter, moves ? &served : NULL);
	check_output(true);
	/* Until it has asked for its registration. */
	for (int i = 0; i < 200 && !node.link.out.active; i++)
		step(false);
	lk_node_report(&node, LK_REPORT_BOOT | LK_REPORT_HEALTH);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t b[UINT8_MAX];

	if (size < 1)
		return 0;
	lamp = data[0] & TRACE_LAMP;
	bool lock = data[0] & TRACE_LOCK && !lamp, button = data[0] & TRACE_SWITCH && !lock && !lamp;
	boot(lock || lamp);
	data++;
	size--;
	while (size > 3) {
		size_t n = data[0] < size - 3 ? data[0] : size - 3;
		uint8_t how = data[2];
		memcpy(b, data + 3, n);
		fake_pass_time(&board, data[1] * 8u);
		bool allowed = let_people_act(how, lock, button);
		step(allowed);
		patch(b, n, how);
		allowed = carries_echo(b, n);
		fake_deliver(&board, b, n);
		step(allowed);
		step(false);
		data += 3 + n;
		size -= 3 + n;
	}
	return 0;
}
