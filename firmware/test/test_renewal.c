/* What a node does about a hint that the gateway does not have its session any more. Anybody can
 * forge one. */
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

/* Lets it connect and ask for its registration. */
static void registering(bool lock)
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

static void online(bool lock)
{
	registering(lock);
	answer(LK_COAP_CREATED, "rd/ab");
	(void)lk_node_step(&node);
	CHECK(lk_node_is_online(&node));
}

/* A gateway that was restarted meanwhile does not answer the registration, and the node does not
 * wait until that is given up. */
static void a_hint_is_followed_while_a_registration_is_under_way(void)
{
	registering(true);
	CHECK(!lk_node_is_online(&node));
	node.link.dtls->hinted = true;
	pass(990, false);
	CHECK_EQ(pings, 3);
	CHECK_EQ(node.link.sessions, 1);
	pass(60, false);
	CHECK_EQ(node.link.sessions, 2);
	CHECK_EQ(board.opens, 1);
	answer(LK_COAP_CREATED, "rd/cd");
	(void)lk_node_step(&node);
	CHECK(lk_node_is_online(&node));
}

/* A gateway that is there costs a forged hint one ping in 5 s, however many come. */
static void forged_hints_cost_a_ping_in_5_s(void)
{
	online(true);
	struct lk_receipt r;
	lk_actuator_obey(
		&actuator, &(struct lk_command){.id = 1, .action = LK_UNLOCK, .duration = 10000}, board.now, &r);
	for (uint32_t gone = 0; gone < 60000; gone += 5) {
		node.link.dtls->hinted = true;
		pass(5, true);
		if (gone == 9000)
			CHECK_EQ(board.level, 100); /* nor does it end a pulse */
	}
	CHECK(pings >= 12 && pings <= 13);
	CHECK_EQ(node.link.sessions, 1);
	CHECK_EQ(board.opens, 1);
	pass(6000, true); /* what came last is followed once more at most */
	CHECK(pings <= 14);
	CHECK(lk_node_is_idle(&node));
}

static void a_gateway_that_does_not_answer_gets_a_new_session(void)
{
	online(true);
	struct lk_receipt r;
	lk_actuator_obey(
		&actuator, &(struct lk_command){.id = 9, .action = LK_UNLOCK, .duration = 10000}, board.now, &r);
	node.link.dtls->hinted = true;
	pass(990, false);
	CHECK_EQ(pings, 3);
	CHECK_EQ(node.link.sessions, 1);
	CHECK(!lk_node_is_idle(&node)); /* a battery reader waits for it */
	pass(60, false);
	CHECK_EQ(node.link.sessions, 2);
	CHECK_EQ(board.opens, 1); /* from the same port */
	CHECK_EQ(board.level, 0); /* the session that the pulse was commanded in is over */
	CHECK(actuator.last == 0);
	CHECK(!lk_node_is_online(&node));
	answer(LK_COAP_CREATED, "rd/cd");
	(void)lk_node_step(&node);
	CHECK(lk_node_is_online(&node));
}

/* An answer to a ping of before, or to another message, does not count. */
static void only_the_answer_to_this_ping_counts(void)
{
	online(false);
	node.link.dtls->hinted = true;
	(void)lk_node_step(&node);
	(void)sent();
	CHECK_EQ(pings, 1);
	uint16_t first = ping;
	pong((uint16_t)(first + 1));
	CHECK_EQ(node.renewal.state, LK_RENEWAL_PING);
	pong(first);
	(void)lk_node_step(&node);
	CHECK_EQ(node.renewal.state, LK_RENEWAL_NONE);
	pass(6000, true);
	node.link.dtls->hinted = true;
	(void)lk_node_step(&node);
	(void)sent();
	CHECK_EQ(pings, 2);
	CHECK(ping != first);
	pong(first);
	(void)lk_node_step(&node);
	CHECK_EQ(node.renewal.state, LK_RENEWAL_PING);
}

/* Until the new handshake is done, and when it fails, the session stays in use. */
static void the_session_stays_in_use_meanwhile(void)
{
	online(true);
	clear_handshake = LK_EAGAIN;
	node.link.dtls->hinted = true;
	pass(1050, false);
	CHECK_EQ(node.renewal.state, LK_RENEWAL_HANDSHAKE);
	for (int i = 0; i < 20; i++) {
		node.link.dtls->hinted = true; /* does nothing now */
		pass(500, true);
		CHECK(lk_node_is_online(&node));
		CHECK_EQ(node.renewal.state, LK_RENEWAL_HANDSHAKE);
	}
	clear_handshake = LK_ECLOSED;
	node.link.dtls->hinted = false;
	pass(1000, true);
	CHECK_EQ(node.renewal.state, LK_RENEWAL_NONE);
	CHECK(lk_node_is_online(&node));
	CHECK_EQ(node.link.sessions, 1);
}

/* A session that ends while the new handshake is under way leaves that one going on. */
static void a_session_that_ends_leaves_the_handshake(void)
{
	online(false);
	clear_handshake = LK_EAGAIN;
	node.link.dtls->hinted = true;
	pass(1050, false);
	node.registration.renew = board.now;
	pass(7000, false); /* the registration is not answered */
	CHECK_EQ(node.state, LK_NODE_HANDSHAKE);
	CHECK_EQ(node.link.dtls, &node.pair[1]);
	CHECK_EQ(node.link.spare, &node.pair[0]); /* the next one may be made there */
	CHECK(!node.pair[0].configured && node.pair[1].configured);
	CHECK_EQ(board.opens, 1);
	clear_handshake = 0;
	pass(100, false);
	CHECK_EQ(node.state, LK_NODE_UP);
	CHECK_EQ(node.link.sessions, 2);
}

/* A tap that found the gateway gone goes on in the new session: the same intent, the same
 * counter. */
static void a_tap_goes_on(void)
{
	struct lk_coap_option o = {0};
	int verdict;

	online(false);
	uint32_t at = board.now;
	CHECK(lk_node_scan(&node, uid, sizeof uid, at));
	(void)lk_node_step(&node);
	CHECK(sent());
	node.link.dtls->hinted = true;
	pass(1050, false);
	CHECK_EQ(node.link.sessions, 2);
	CHECK(node.intent.active && node.intent.at == at && node.intent.n == 1);
	CHECK(lk_coap_next(&asked, &o) && o.number == LK_COAP_URI_PATH && o.len == 4 &&
		  memcmp(o.value, "scan", 4) == 0);
	CHECK(!lk_intent_take_verdict(&node.intent, &verdict));
	pass(2500, false);
	/* and ends 3 s after it was meant */
	CHECK(lk_intent_take_verdict(&node.intent, &verdict) && verdict < 0);
}

/* With no session there is nothing to ask. */
static void without_a_session_a_hint_does_nothing(void)
{
	online(false);
	board.open_result = LK_EIO;
	node.registration.renew = board.now;
	pass(10000, false);
	CHECK_EQ(node.state, LK_NODE_WAITING);
	unsigned opens = board.opens;
	node.at = board.now + 60000;
	for (int i = 0; i < 1000; i++) {
		node.link.dtls->hinted = true;
		pass(5, false);
	}
	CHECK_EQ(board.opens, opens);
	CHECK_EQ(pings, 0);
}

/* Has the node follow a hint; what it logs from now on is kept. */
static void hint(void)
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
static uint32_t due_after(uint32_t ms)
{
	fake_pass(&board, ms);
	uint32_t due = lk_node_step(&node);
	(void)sent();
	return due;
}

static bool logged(const char *text) { return strstr(board.logged, text) != NULL; }

static void the_gateway_is_asked_three_times_in_a_second(void)
{
	online(false);
	hint();
	CHECK(logged("hint, asking the gateway 1\n"));
	CHECK_EQ(due_after(0), 300);
	CHECK_EQ(due_after(100), 200);
	CHECK_EQ(due_after(199), 1);
	CHECK_EQ(pings, 1);
	CHECK_EQ(due_after(1), 300);
	CHECK_EQ(pings, 2);
	CHECK_EQ(due_after(300), 400);
	CHECK_EQ(pings, 3);
	CHECK_EQ(due_after(100), 300);
	CHECK_EQ(due_after(299), 1);
	CHECK_EQ(node.renewal.state, LK_RENEWAL_PING);
	clear_handshake = LK_EAGAIN;
	CHECK_EQ(due_after(1), 0);
	CHECK_EQ(node.renewal.state, LK_RENEWAL_HANDSHAKE);
	CHECK_EQ(pings, 3);
	CHECK(logged("not answered, connecting beside 2\n"));
	CHECK(node.pair[0].beside == &node.pair[1] && node.pair[1].beside == &node.pair[0]);
}

/* A node that was busy meanwhile does not make the second longer. */
static void late_it_asks_less_often(void)
{
	online(false);
	hint();
	CHECK_EQ(due_after(600), 400);
	CHECK_EQ(pings, 2);
	online(false);
	hint();
	CHECK_EQ(due_after(700), 300);
	CHECK_EQ(pings, 2);
	online(false);
	hint();
	clear_handshake = LK_EAGAIN;
	CHECK_EQ(due_after(1000), 0);
	CHECK_EQ(pings, 1);
	CHECK_EQ(node.renewal.state, LK_RENEWAL_HANDSHAKE);
}

static void the_next_hint_is_followed_5_s_after_the_one_before(void)
{
	online(false);
	hint();
	pong(ping);
	CHECK(due_after(0) > 5000);
	CHECK_EQ(node.renewal.state, LK_RENEWAL_NONE);
	node.link.dtls->hinted = true;
	CHECK_EQ(due_after(1000), 4000);
	CHECK_EQ(due_after(3999), 1);
	CHECK_EQ(pings, 1);
	CHECK_EQ(due_after(1), 300);
	CHECK_EQ(pings, 2);
}

/* Whatever the random number: an answer to the one would be taken for an answer to the other. */
static void a_ping_has_another_message_id_than_the_request(void)
{
	static const uint16_t numbers[] = {0, 1, 2, 0x7fff, 0xfffd, 0xfffe};

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		const uint8_t b[4] = {(uint8_t)numbers[i], (uint8_t)(numbers[i] >> 8)};
		online(false);
		board.random = b;
		board.random_n = sizeof b;
		hint();
		CHECK_EQ(board.random_n, 0);
		CHECK(node.renewal.ping != node.link.out.mid);
		CHECK_EQ((uint16_t)(node.renewal.ping - node.link.out.mid), numbers[i] + 1);
	}
}

static void only_a_reset_answers_a_ping(void)
{
	online(false);
	hint();
	for (uint8_t type = LK_COAP_CON; type <= LK_COAP_RST; type++) {
		const uint8_t b[] = {(uint8_t)(0x40 | type << 4), 0, (uint8_t)(ping >> 8), (uint8_t)ping};
		node.link.proven = false;
		fake_deliver(&board, b, sizeof b);
		(void)due_after(0);
		CHECK_EQ(node.renewal.state, type == LK_COAP_RST ? LK_RENEWAL_NONE : LK_RENEWAL_PING);
		/* an association that was resumed is known to live by it */
		CHECK_EQ(node.link.proven, type == LK_COAP_RST);
	}
}

/* The request after it may get the same message ID; the answer to the ping does not end the session
 * then. */
static void an_answer_to_a_ping_is_nothing_else(void)
{
	static const uint8_t zero[4];

	online(false);
	board.random = zero;
	board.random_n = sizeof zero;
	hint();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)lk_node_step(&node);
	CHECK(sent());
	CHECK_EQ(asked.mid, ping);
	pong(ping);
	(void)lk_node_step(&node);
	CHECK(lk_node_is_online(&node));
	CHECK(node.intent.active);
}

/* Without memory for a second association the first one stays, and the next hint is followed as any
 * other. */
static void without_memory_the_session_stays(void)
{
	online(false);
	hint();
	clear_open = LK_ENOMEM;
	char text[40];
	snprintf(text, sizeof text, "no new session, error %d\n", -LK_ENOMEM);
	CHECK(due_after(1000) > 5000);
	CHECK(logged(text));
	CHECK_EQ(node.renewal.state, LK_RENEWAL_NONE);
	CHECK(!node.pair[1].configured);
	CHECK(lk_node_is_online(&node));
	CHECK_EQ(due_after(1000), 3000);
	CHECK_EQ(pings, 1);
	clear_open = 0;
}

static void a_handshake_beside_is_looked_at_when_it_is_due(void)
{
	online(false);
	hint();
	clear_handshake = LK_EAGAIN;
	(void)due_after(1000);
	clear_due = 777;
	CHECK_EQ(due_after(1), 777);
	node.link.dtls->held_n = 1; /* what the handshake has read is the session's */
	CHECK_EQ(due_after(1), 0);
	node.link.dtls->held_n = 0;
	char text[40];
	snprintf(text, sizeof text, "no new session, error %d\n", -LK_ECLOSED);
	clear_handshake = LK_ECLOSED;
	node.link.dtls->hinted = false;
	CHECK(due_after(1) > 5000);
	CHECK(logged(text));
	CHECK(!node.pair[1].configured);

	online(false);
	hint();
	clear_handshake = LK_EAGAIN;
	(void)due_after(1000);
	clear_handshake = 0;
	CHECK_EQ(due_after(1), 0); /* there is a registration to be sent */
	CHECK_EQ(node.link.sessions, 2);
	CHECK_EQ(node.link.dtls, &node.pair[1]);
	CHECK(!node.pair[0].configured);
}

static void a_ping_that_cannot_be_sent_ends_the_session(void)
{
	online(true);
	node.link.dtls->hinted = true;
	node.link.dtls->up = false;
	(void)lk_node_step(&node);
	CHECK(node.state != LK_NODE_UP);
}

int main(void)
{
	a_ping_that_cannot_be_sent_ends_the_session();
	the_gateway_is_asked_three_times_in_a_second();
	late_it_asks_less_often();
	the_next_hint_is_followed_5_s_after_the_one_before();
	a_ping_has_another_message_id_than_the_request();
	only_a_reset_answers_a_ping();
	an_answer_to_a_ping_is_nothing_else();
	without_memory_the_session_stays();
	a_handshake_beside_is_looked_at_when_it_is_due();
	a_hint_is_followed_while_a_registration_is_under_way();
	forged_hints_cost_a_ping_in_5_s();
	a_gateway_that_does_not_answer_gets_a_new_session();
	only_the_answer_to_this_ping_counts();
	the_session_stays_in_use_meanwhile();
	a_session_that_ends_leaves_the_handshake();
	a_tap_goes_on();
	without_a_session_a_hint_does_nothing();
	return check_end("renewal");
}
