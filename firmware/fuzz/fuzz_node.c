/*
 * A node in session, and any messages of the gateway's: it neither crashes nor hangs, keeps what it sends well-formed, and without an Echo
 * of its own, which nobody can guess here, never moves its output. The first byte says what it is; then come a message's length, how much
 * time passes before it, and the message.
 */
#include <stdlib.h>
#include <string.h>

#include "clear_dtls.h"
#include "fake_port.h"
#include "node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_port board;
static struct lk_settings settings;
static struct lk_counter counter;
static struct lk_actuator actuator;
static struct lk_node node;

/* Whatever it has sent is CoAP. */
static void look(void)
{
	uint8_t b[FAKE_DATAGRAM];
	size_t n;
	struct lk_coap m;

	while ((n = fake_sent(&board, b, sizeof b)) > 0)
		if (n > LK_DATAGRAM_MAX || lk_coap_parse(&m, b, n) < 0)
			abort();
	if (board.level != 0)
		abort();
}

static void step(void)
{
	uint32_t due = lk_node_step(&node);
	int verdict;

	(void)lk_node_verdict(&node, &verdict);
	(void)lk_actuator_poll(&actuator, board.now);
	look();
	fake_pass(&board, due < 20 ? due : 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t uid[] = {4, 1, 2, 3, 4, 5, 6};

	if (size < 1)
		return 0;
	bool lock = data[0] & 1, lamp = data[0] & 2;
	data++;
	size--;
	fake_init(&board);
	memset(&settings, 0, sizeof settings);
	memcpy(settings.host, "gw", 3);
	memcpy(settings.target, "desk", 5);
	memset(&counter, 0, sizeof counter);
	(void)lk_counter_load(&counter, &board.port);
	lk_actuator_init(&actuator, &board.port, lamp);
	lk_node_init(&node, &board.port, &settings, &counter, lock || lamp ? &actuator : NULL);
	for (int i = 0; i < 200 && node.state != LK_NODE_UP; i++)
		step();
	lk_node_report(&node, LK_REPORT_BOOT | LK_REPORT_HEALTH);
	while (size > 2) {
		size_t n = data[0] < size - 2 ? data[0] : size - 2;
		fake_pass(&board, data[1] * 8u);
		if (!lock && !lamp && data[1] & 1)
			(void)lk_node_scan(&node, uid, sizeof uid, board.now);
		fake_deliver(&board, data + 2, n);
		step();
		step();
		data += 2 + n;
		size -= 2 + n;
	}
	return 0;
}
