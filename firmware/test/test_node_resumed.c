/* A node that goes on with the association of before its sleep, which the gateway may not have any
 * more. And how a node begins. */
#include "check.h"
#include "err.h"
#include "played_gateway.h"

static uint8_t state[8];

static bool logged(const char *line) { return strstr(board.logged, line) != NULL; }

static uint32_t due_after(uint32_t ms)
{
	fake_pass(&board, ms);
	return step();
}

/* A node with a random number for the moment at which it connects. */
static void begin(uint16_t number)
{
	static uint8_t random[4];

	boot(false);
	board.now = 0x90000000; /* a clock may stand anywhere */
	random[0] = (uint8_t)number;
	random[1] = (uint8_t)(number >> 8);
	board.random = random;
	board.random_n = sizeof random;
	lk_node_init(&node, &board.port, &settings, &counter, NULL);
	board.random_fails = true;
	clear_handshake = clear_resume = 0;
	clear_due = UINT32_MAX;
}

static void resume(void)
{
	begin(999);
	memset(state, 7, sizeof state);
	memcpy(node.registration.location, "rd/ab", 6);
	lk_node_resume(&node, state, sizeof state);
	CHECK_EQ(node.at, board.now);
	CHECK_EQ(due_after(70), 0); /* at once: somebody holds a card to it */
	CHECK_EQ(board.opens, 1);
	CHECK_EQ(node.saved_len, 0);
	for (size_t i = 0; i < sizeof state; i++)
		CHECK_EQ(state[i], 0);
}

static void it_goes_on_where_it_was(void)
{
	resume();
	CHECK_EQ(node.state, LK_NODE_UP);
	CHECK(lk_node_is_online(&node));
	CHECK_EQ(node.link.sessions, 1);
	CHECK(logged("session resumed 1\n"));
	CHECK(!node.link.proven);
	CHECK_EQ(node.at, board.now);
	(void)step();
	CHECK(sent() && strcmp(path, "/rd/ab") == 0); /* it renews its registration */
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	CHECK(node.link.proven);
	CHECK(lk_node_is_online(&node));
}

/* What cannot be resumed is gone, with its registration. */
static void without_it_a_handshake_is_made(void)
{
	begin(0);
	clear_resume = LK_ECLOSED;
	memset(state, 7, sizeof state);
	memcpy(node.registration.location, "rd/ab", 6);
	lk_node_resume(&node, state, sizeof state);
	CHECK_EQ(step(), 0);
	CHECK_EQ(node.state, LK_NODE_HANDSHAKE);
	CHECK_EQ(node.saved_len, 0);
	CHECK_EQ(state[0], 0);
	CHECK_EQ(node.registration.location[0], 0);
	CHECK(!logged("session resumed"));
	CHECK_EQ(step(), 0);
	CHECK(node.link.proven);
	CHECK_EQ(node.link.sessions, 1);
}

static void a_gateway_that_does_not_answer_gets_a_handshake_in_time(void)
{
	for (int acked = 0; acked < 2; acked++) {
		resume();
		CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
		CHECK(step() <= 1200);
		CHECK(sent() && strcmp(path, "/scan") == 0);
		if (acked)
			deliver((const uint8_t[]){0x60, 0, (uint8_t)(asked.mid >> 8), (uint8_t)asked.mid}, 4);
		(void)due_after(1199);
		CHECK_EQ(node.link.proven, acked);
		CHECK_EQ(node.state, LK_NODE_UP);
		(void)due_after(1);
		CHECK_EQ(node.state, acked ? LK_NODE_UP : LK_NODE_HANDSHAKE);
		CHECK_EQ(logged("resumed session is not answered 1200\n"), !acked);
		CHECK(node.intent.active); /* the tap goes on */
	}
}

static void a_node_connects_within_a_second_of_its_start(void)
{
	begin(999);
	CHECK_EQ(step(), 999);
	CHECK_EQ(due_after(998), 1);
	CHECK_EQ(board.opens, 0);
	(void)due_after(1);
	CHECK_EQ(board.opens, 1);
	CHECK_EQ(node.link.dtls, &node.pair[0]);
}

static void a_handshake_is_looked_at_when_it_is_due(void)
{
	begin(0);
	clear_handshake = LK_EAGAIN;
	(void)step();
	clear_due = 777;
	CHECK_EQ(step(), 777);
	clear_handshake = LK_ECLOSED;
	CHECK_EQ(step(), 0);
	CHECK_EQ(node.state, LK_NODE_WAITING);
	CHECK_EQ(node.at - board.now, 500);
}

/* Without memory for one it is tried again after a pause. */
static void a_handshake_that_cannot_begin_is_a_lost_session(void)
{
	begin(0);
	clear_open = LK_ENOMEM;
	(void)step();
	clear_open = 0;
	CHECK_EQ(node.state, LK_NODE_WAITING);
	CHECK_EQ(node.at - board.now, 500);
	CHECK_EQ(node.pause, 2000);
}

static void a_hint_just_after_the_start_is_followed(void)
{
	for (uint32_t ms = 0; ms <= 6000; ms += 6000) {
		begin(0);
		online();
		(void)due_after(ms);
		node.link.dtls->hinted = true;
		(void)step();
		CHECK_EQ(node.renewal.state, LK_RENEWAL_PING);
	}
}

/* A gateway that floods the node does not keep it from its button and its watchdog. */
static void a_step_takes_a_few_messages(void)
{
	begin(0);
	online();
	for (int i = 0; i < 20; i++)
		fake_deliver(&board, (const uint8_t[]){0x50, 0, 0, (uint8_t)i}, 4);
	(void)step();
	CHECK(board.inboxes >= 10 && board.inboxes <= 14);
}

static void what_is_not_understood_is_reset_if_it_asks_for_an_answer(void)
{
	begin(0);
	online();
	(void)sent();
	deliver((const uint8_t[]){0x49, 1, 0x12, 0x34}, 4); /* a token of nine bytes */
	(void)step();
	CHECK(sent());
	CHECK(asked.type == LK_COAP_RST && asked.mid == 0x1234 && asked.code == LK_COAP_EMPTY);
	deliver((const uint8_t[]){0x59, 1, 0x12, 0x35}, 4);
	(void)step();
	CHECK(!sent());
	/* an unknown method is understood */
	CHECK_EQ(request(&(struct request){.method = 17}), LK_COAP_NOT_FOUND);
}

/* A tap does not wait for a report that is under way, which is told again after it. */
static void a_tap_goes_before_a_report(void)
{
	begin(0);
	online();
	lk_node_report(&node, LK_REPORT_HEALTH);
	(void)step();
	CHECK(sent() && strcmp(path, "/report") == 0);
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(sent() && strcmp(path, "/scan") == 0);
	CHECK_EQ(node.report.sending, 0);
	CHECK_EQ(node.report.wanted, LK_REPORT_HEALTH);
	(void)step();
	CHECK(!sent()); /* once */
	answer_verdict(LK_GRANTED, 1);
	(void)step();
	CHECK(!node.intent.active);
	CHECK(sent() && strcmp(path, "/report") == 0);
}

/* Nor is the answer to a registration that was under way taken for a verdict. */
static void an_answer_is_for_what_was_asked(void)
{
	begin(0);
	online();
	node.registration.renew = board.now;
	(void)step();
	CHECK(sent() && strcmp(path, "/rd/ab") == 0);
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	CHECK(node.intent.active);
	CHECK(sent() && strcmp(path, "/scan") == 0);
}

/* The gateway says goodbye: what was under way goes on in the next session. */
static void a_session_leaves_nothing_behind(void)
{
	int32_t age;

	begin(0);
	online();
	CHECK(lk_held_find_age(&node.link.held, board.now, board.now, &age) > 0);
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(node.intent.sent && node.link.out.active);
	node.at = board.now + 0x7fffffff; /* so that it does not connect within this step */
	clear_recv = LK_ECLOSED;
	(void)step();
	clear_recv = 0;
	CHECK_EQ(node.state, LK_NODE_WAITING);
	CHECK(node.intent.active && !node.intent.sent);
	CHECK(!node.link.out.active);
	CHECK_EQ(lk_held_find_age(&node.link.held, board.now, board.now, &age), 0);
	CHECK(!node.pair[0].configured);
	board.net = false;
	uint32_t pause = node.pause;
	for (int i = 0; i < 40; i++)
		(void)due_after(100);
	CHECK(!node.intent.active); /* its time is over */
	CHECK_EQ(node.pause, pause); /* and no session was lost by that */
}

/* A session begins with its handshake's end, and with a message ID by chance. */
static void a_session_begins_with_its_handshake(void)
{
	static const uint8_t random[4] = {0x34, 0x12};

	begin(0);
	clear_handshake = LK_EAGAIN;
	(void)step();
	(void)due_after(70000);
	clear_handshake = 0;
	board.random_fails = false;
	board.random = random;
	board.random_n = sizeof random;
	(void)step();
	CHECK_EQ(node.state, LK_NODE_UP);
	CHECK_EQ(node.at, board.now);
	CHECK_EQ(node.link.out.mid, 0x1234);
}

static void a_refused_tap_is_no_refused_report(void)
{
	begin(0);
	online();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(sent());
	answer(LK_COAP_CODE(4, 3), NULL, NULL, 0);
	(void)step();
	CHECK(!node.intent.active);
	CHECK(logged("no verdict, code"));
	CHECK(!logged("report refused"));
}

/* What is so old that the clock has come round since looks new again. */
static void no_echo_outlives_the_clock(void)
{
	uint8_t echo[LK_ECHO_LEN] = {0};
	int32_t age;

	boot(true);
	online();
	CHECK_EQ(act(LK_COAP_GET, NULL, NULL), LK_COAP_CONTENT);
	take_echo(echo);
	for (uint64_t gone = 0; gone < (uint64_t)1 << 32; gone += 1 << 22) {
		node.registration.renew = board.now + (1 << 30);
		(void)due_after(1 << 22);
	}
	CHECK_EQ(lk_held_find_age(&node.link.held, board.now, board.now, &age), 0);
	struct lk_command c = {.id = 1, .action = LK_UNLOCK};
	CHECK_EQ(act(LK_COAP_POST, echo, &c), LK_COAP_UNAUTHORIZED);
	CHECK_EQ(board.level, 0);
}

static int (*receive)(void *, uint8_t *, size_t);

static int slow_receive(void *ctx, uint8_t *b, size_t cap)
{
	fake_pass(&board, 5);
	return receive(ctx, b, cap);
}

/* Time passes while messages are taken, too. */
static void a_tap_ends_in_time_whatever_is_received(void)
{
	begin(0);
	online();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	(void)due_after(2997);
	CHECK(node.intent.active);
	receive = board.port.udp_recv;
	board.port.udp_recv = slow_receive;
	(void)step();
	CHECK(!node.intent.active);
}

static void an_answer_on_its_own_is_acknowledged_once(void)
{
	uint8_t b[32];
	struct lk_coap_out o;

	begin(0);
	online();
	lk_node_report(&node, LK_REPORT_HEALTH);
	(void)step();
	CHECK(sent());
	unsigned before = board.sent_total;
	lk_coap_begin(&o, b, sizeof b, LK_COAP_CON, LK_COAP_CHANGED, 0x4321, asked.token, asked.token_len);
	deliver(b, (size_t)lk_coap_end(&o, 0));
	(void)step();
	CHECK_EQ(board.sent_total, before + 1);
	CHECK(sent() && asked.type == LK_COAP_ACK && asked.mid == 0x4321);
}

/* A path with a NUL in it would be another path here. */
static void a_path_with_a_nul_is_no_registration(void)
{
	static const char *const paths[] = {"a\0b", "a\1b"};
	uint8_t b[64];
	struct lk_coap_out o;

	for (int i = 0; i < 2; i++) {
		begin(0);
		for (int k = 0; k < 100 && !sent(); k++)
			(void)step();
		lk_coap_begin(&o, b, sizeof b, LK_COAP_ACK, LK_COAP_CREATED, asked.mid, asked.token, asked.token_len);
		lk_coap_option(&o, LK_COAP_LOCATION_PATH, (const uint8_t *)paths[i], 3);
		deliver(b, (size_t)lk_coap_end(&o, 0));
		(void)step();
		CHECK_EQ(lk_node_is_online(&node), i == 1);
	}
	begin(0);
	for (int k = 0; k < 100 && !sent(); k++)
		(void)step();
	answer(LK_COAP_CREATED, "r", NULL, 0);
	(void)step();
	node.registration.renew = board.now;
	(void)step();
	CHECK(sent() && strcmp(path, "/r") == 0);
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	CHECK(lk_node_is_online(&node)); /* one character is a path */
}

int main(void)
{
	a_tap_goes_before_a_report();
	an_answer_is_for_what_was_asked();
	a_session_leaves_nothing_behind();
	a_session_begins_with_its_handshake();
	a_refused_tap_is_no_refused_report();
	a_tap_ends_in_time_whatever_is_received();
	no_echo_outlives_the_clock();
	an_answer_on_its_own_is_acknowledged_once();
	a_path_with_a_nul_is_no_registration();
	it_goes_on_where_it_was();
	without_it_a_handshake_is_made();
	a_gateway_that_does_not_answer_gets_a_handshake_in_time();
	a_node_connects_within_a_second_of_its_start();
	a_handshake_is_looked_at_when_it_is_due();
	a_handshake_that_cannot_begin_is_a_lost_session();
	a_hint_just_after_the_start_is_followed();
	a_step_takes_a_few_messages();
	what_is_not_understood_is_reset_if_it_asks_for_an_answer();
	return check_end("node_resumed");
}
