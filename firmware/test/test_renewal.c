/* What a node does about a hint that the gateway does not have its session any more. Anybody can forge one. */
#include "check.h"
#include "clear_dtls.h"
#include "fake_port.h"
#include "node.h"

static const uint8_t uid[] = {4, 1, 2, 3, 4, 5, 6};

static struct fake_port board;
static struct lk_settings settings;
static struct lk_counter counter;
static struct lk_actuator actuator;
static struct lk_node node;

/* The newest of the messages that the node sent, and how many of them were pings. */
static struct lk_coap asked;
static uint8_t asked_b[FAKE_DATAGRAM];
static unsigned pings;
static uint16_t ping;

static bool sent(void)
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

static void answer(uint8_t code, const char *location)
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

static void pong(uint16_t mid)
{
	const uint8_t b[] = {0x70, 0, (uint8_t)(mid >> 8), (uint8_t)mid};

	fake_deliver(&board, b, sizeof b);
}

/* Lets ms pass; what is asked is answered if the gateway is there. */
static void pass(uint32_t ms, bool there)
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

static void online(bool lock)
{
	fake_init(&board);
	memset(&settings, 0, sizeof settings);
	memcpy(settings.host, "gw", 3);
	memset(&counter, 0, sizeof counter);
	(void)lk_counter_load(&counter, &board.port);
	lk_actuator_init(&actuator, &board.port, false);
	lk_node_init(&node, &board.port, &settings, &counter, lock ? &actuator : NULL);
	clear_handshake = 0;
	pings = 0;
	for (int i = 0; i < 100 && !sent(); i++)
		fake_pass(&board, lk_node_step(&node) > 20 ? 20 : 1);
	answer(LK_COAP_CREATED, "rd/ab");
	(void)lk_node_step(&node);
	CHECK(lk_node_online(&node));
}

/* A gateway that is there costs a forged hint one ping in 5 s, however many come. */
static void forged_hints_cost_a_ping_in_5_s(void)
{
	online(true);
	struct lk_receipt r;
	lk_actuator_obey(&actuator, &(struct lk_command){.id = 1, .action = LK_UNLOCK, .duration = 10000}, board.now, &r);
	for (uint32_t gone = 0; gone < 60000; gone += 5) {
		node.dtls->hinted = true;
		pass(5, true);
		if (gone == 9000)
			CHECK_EQ(board.level, 100); /* nor does it end a pulse */
	}
	CHECK(pings >= 12 && pings <= 13);
	CHECK_EQ(node.sessions, 1);
	CHECK_EQ(board.opens, 1);
	pass(6000, true); /* what came last is followed once more at most */
	CHECK(pings <= 14);
	CHECK(lk_node_idle(&node));
}

static void a_gateway_that_does_not_answer_gets_a_new_session(void)
{
	online(true);
	struct lk_receipt r;
	lk_actuator_obey(&actuator, &(struct lk_command){.id = 9, .action = LK_UNLOCK, .duration = 10000}, board.now, &r);
	node.dtls->hinted = true;
	pass(990, false);
	CHECK_EQ(pings, 3);
	CHECK_EQ(node.sessions, 1);
	CHECK(!lk_node_idle(&node)); /* a battery reader waits for it */
	pass(60, false);
	CHECK_EQ(node.sessions, 2);
	CHECK_EQ(board.opens, 1); /* from the same port */
	CHECK_EQ(board.level, 0); /* the session that the pulse was commanded in is over */
	CHECK(actuator.last == 0);
	CHECK(!lk_node_online(&node));
	answer(LK_COAP_CREATED, "rd/cd");
	(void)lk_node_step(&node);
	CHECK(lk_node_online(&node));
}

/* An answer to a ping of before, or to another message, does not count. */
static void only_the_answer_to_this_ping_counts(void)
{
	online(false);
	node.dtls->hinted = true;
	(void)lk_node_step(&node);
	(void)sent();
	CHECK_EQ(pings, 1);
	uint16_t first = ping;
	pong((uint16_t)(first + 1));
	CHECK_EQ(node.renewal, LK_RENEWAL_PING);
	pong(first);
	(void)lk_node_step(&node);
	CHECK_EQ(node.renewal, LK_RENEWAL_NONE);
	pass(6000, true);
	node.dtls->hinted = true;
	(void)lk_node_step(&node);
	(void)sent();
	CHECK_EQ(pings, 2);
	CHECK(ping != first);
	pong(first);
	(void)lk_node_step(&node);
	CHECK_EQ(node.renewal, LK_RENEWAL_PING);
}

/* Until the new handshake is done, and when it fails, the session stays in use. */
static void the_session_stays_in_use_meanwhile(void)
{
	online(true);
	clear_handshake = LK_EAGAIN;
	node.dtls->hinted = true;
	pass(1050, false);
	CHECK_EQ(node.renewal, LK_RENEWAL_HANDSHAKE);
	for (int i = 0; i < 20; i++) {
		node.dtls->hinted = true; /* does nothing now */
		pass(500, true);
		CHECK(lk_node_online(&node));
		CHECK_EQ(node.renewal, LK_RENEWAL_HANDSHAKE);
	}
	clear_handshake = LK_ECLOSED;
	node.dtls->hinted = false;
	pass(1000, true);
	CHECK_EQ(node.renewal, LK_RENEWAL_NONE);
	CHECK(lk_node_online(&node));
	CHECK_EQ(node.sessions, 1);
}

/* A session that ends while the new handshake is under way leaves that one going on. */
static void a_session_that_ends_leaves_the_handshake(void)
{
	online(false);
	clear_handshake = LK_EAGAIN;
	node.dtls->hinted = true;
	pass(1050, false);
	node.renew = board.now;
	pass(7000, false); /* the registration is not answered */
	CHECK_EQ(node.state, LK_NODE_HANDSHAKE);
	CHECK_EQ(board.opens, 1);
	clear_handshake = 0;
	pass(100, false);
	CHECK_EQ(node.state, LK_NODE_UP);
	CHECK_EQ(node.sessions, 2);
}

/* A tap that found the gateway gone goes on in the new session: the same intent, the same counter. */
static void a_tap_goes_on(void)
{
	struct lk_coap_option o = {0};
	int verdict;

	online(false);
	uint32_t at = board.now;
	CHECK(lk_node_scan(&node, uid, sizeof uid, at));
	(void)lk_node_step(&node);
	CHECK(sent());
	node.dtls->hinted = true;
	pass(1050, false);
	CHECK_EQ(node.sessions, 2);
	CHECK(node.intent.active && node.intent.at == at && node.intent.n == 1);
	CHECK(lk_coap_next(&asked, &o) && o.number == LK_COAP_URI_PATH && o.len == 4 && memcmp(o.value, "scan", 4) == 0);
	CHECK(!lk_node_verdict(&node, &verdict));
	pass(2500, false);
	CHECK(lk_node_verdict(&node, &verdict) && verdict < 0); /* and ends 3 s after it was meant */
}

/* With no session there is nothing to ask. */
static void without_a_session_a_hint_does_nothing(void)
{
	online(false);
	board.open_result = LK_EIO;
	node.renew = board.now;
	pass(10000, false);
	CHECK_EQ(node.state, LK_NODE_WAITING);
	unsigned opens = board.opens;
	node.at = board.now + 60000;
	for (int i = 0; i < 1000; i++) {
		node.dtls->hinted = true;
		pass(5, false);
	}
	CHECK_EQ(board.opens, opens);
	CHECK_EQ(pings, 0);
}

int main(void)
{
	forged_hints_cost_a_ping_in_5_s();
	a_gateway_that_does_not_answer_gets_a_new_session();
	only_the_answer_to_this_ping_counts();
	the_session_stays_in_use_meanwhile();
	a_session_that_ends_leaves_the_handshake();
	a_tap_goes_on();
	without_a_session_a_hint_does_nothing();
	return check_end("renewal");
}
