/* A node that resumes the association of the time before its sleep, which the gateway may have
 * dropped. And how a node starts. */
#include "check.h"
#include "err.h"
#include "played_gateway.h"

static uint8_t state[8];

/* Starts a node with a given random number, which decides when it connects. */
static void begin(uint16_t number)
{
	static uint8_t random[4];

	boot(false);
	board.now = 0x90000000; /* the clock may start anywhere */
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
	CHECK_EQ(due_after(70), 0); /* at once: somebody holds a card to the reader */
	CHECK_EQ(board.opens, 1);
	CHECK_EQ(node.saved_len, 0);
	for (size_t i = 0; i < sizeof state; i++)
		CHECK_EQ(state[i], 0);
}

static void a_resumed_session_renews_the_registration(void)
{
	resume();
	CHECK_EQ(node.state, LK_NODE_UP);
	CHECK(lk_node_is_online(&node));
	CHECK_EQ(node.link.sessions, 1);
	CHECK(logged("session resumed 1\n"));
	CHECK(!node.link.proven);
	CHECK_EQ(node.at, board.now);
	(void)step();
	CHECK(take_sent() && strcmp(path, "/rd/ab") == 0); /* the renewal */
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	CHECK(node.link.proven);
	CHECK(lk_node_is_online(&node));
}

/* If the association cannot be resumed, it is dropped together with its registration. */
static void a_node_that_cannot_resume_makes_a_handshake(void)
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

static void a_resumed_session_without_an_answer_is_replaced_in_time(void)
{
	for (int acked = 0; acked < 2; acked++) {
		resume();
		CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
		CHECK(step() <= 1200);
		CHECK(take_sent() && strcmp(path, "/scan") == 0);
		if (acked)
			deliver((const uint8_t[]){0x60, 0, (uint8_t)(asked.mid >> 8), (uint8_t)asked.mid}, 4);
		(void)due_after(1199);
		CHECK_EQ(node.link.proven, acked);
		CHECK_EQ(node.state, LK_NODE_UP);
		(void)due_after(1);
		CHECK_EQ(node.state, acked ? LK_NODE_UP : LK_NODE_HANDSHAKE);
		CHECK_EQ(logged("resumed session is not answered 1200\n"), !acked);
		CHECK(node.intent.active); /* the tap is kept */
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

static void the_node_is_due_when_its_handshake_is(void)
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

/* Without memory for a handshake the node tries again after a pause. */
static void a_handshake_that_cannot_begin_counts_as_a_lost_session(void)
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
		bring_online();
		(void)due_after(ms);
		node.link.dtls->hinted = true;
		(void)step();
		CHECK_EQ(node.renewal.state, LK_RENEWAL_PING);
	}
}

/* A gateway that floods the node must not keep it from its button and its watchdog. */
static void a_step_reads_only_a_few_messages(void)
{
	begin(0);
	bring_online();
	for (int i = 0; i < 20; i++)
		fake_deliver(&board, (const uint8_t[]){0x50, 0, 0, (uint8_t)i}, 4);
	(void)step();
	CHECK(board.inbox_n >= 10 && board.inbox_n <= 14);
}

static void a_malformed_confirmable_message_is_answered_with_a_reset(void)
{
	begin(0);
	bring_online();
	(void)take_sent();
	deliver((const uint8_t[]){0x49, 1, 0x12, 0x34}, 4); /* a token of nine bytes */
	(void)step();
	CHECK(take_sent());
	CHECK(asked.type == LK_COAP_RST && asked.mid == 0x1234 && asked.code == LK_COAP_EMPTY);
	deliver((const uint8_t[]){0x59, 1, 0x12, 0x35}, 4);
	(void)step();
	CHECK(!take_sent());
	/* a message with an unknown method is not malformed */
	CHECK_EQ(send_request(&(struct request){.method = 17}), LK_COAP_NOT_FOUND);
}

/* A tap does not wait for a report that is under way. The report is sent again after it. */
static void a_tap_goes_before_a_report(void)
{
	begin(0);
	bring_online();
	lk_node_report(&node, LK_REPORT_HEALTH);
	(void)step();
	CHECK(take_sent() && strcmp(path, "/report") == 0);
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(take_sent() && strcmp(path, "/scan") == 0);
	CHECK_EQ(node.report.sending, 0);
	CHECK_EQ(node.report.wanted, LK_REPORT_HEALTH);
	(void)step();
	CHECK(!take_sent()); /* only once */
	answer_verdict(LK_GRANTED, 1);
	(void)step();
	CHECK(!node.intent.active);
	CHECK(take_sent() && strcmp(path, "/report") == 0);
}

/* The answer to a registration that was under way is not taken for a verdict. */
static void an_answer_belongs_to_its_request(void)
{
	begin(0);
	bring_online();
	node.registration.renew = board.now;
	(void)step();
	CHECK(take_sent() && strcmp(path, "/rd/ab") == 0);
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	CHECK(node.intent.active);
	CHECK(take_sent() && strcmp(path, "/scan") == 0);
}

/* The gateway closes the session. What was under way continues in the next one. */
static void nothing_of_an_old_session_is_left_in_the_next(void)
{
	int32_t age;

	begin(0);
	bring_online();
	CHECK(lk_held_find_age(&node.link.held, board.now, board.now, &age) > 0);
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(node.intent.sent && node.link.out.active);
	node.at = board.now + 0x7fffffff; /* so that the node does not connect in this step */
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
	CHECK(!node.intent.active); /* its time has run out */
	CHECK_EQ(node.pause, pause); /* which does not count as a lost session */
}

/* A session begins when its handshake ends, with a random message ID. */
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

static void a_refused_tap_is_not_logged_as_a_refused_report(void)
{
	begin(0);
	bring_online();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(take_sent());
	answer(LK_COAP_CODE(4, 3), NULL, NULL, 0);
	(void)step();
	CHECK(!node.intent.active);
	CHECK(logged("no verdict, code"));
	CHECK(!logged("report refused"));
}

/* An Echo so old that the clock has wrapped since must not look new. */
static void no_echo_is_new_again_after_the_clock_wrapped(void)
{
	uint8_t echo[LK_ECHO_LEN] = {0};
	int32_t age;

	boot(true);
	bring_online();
	CHECK_EQ(request_act(LK_COAP_GET, NULL, NULL), LK_COAP_CONTENT);
	take_echo(echo);
	for (uint64_t gone = 0; gone < (uint64_t)1 << 32; gone += 1 << 22) {
		node.registration.renew = board.now + (1 << 30);
		(void)due_after(1 << 22);
	}
	CHECK_EQ(lk_held_find_age(&node.link.held, board.now, board.now, &age), 0);
	struct lk_command c = {.id = 1, .action = LK_UNLOCK};
	CHECK_EQ(request_act(LK_COAP_POST, echo, &c), LK_COAP_UNAUTHORIZED);
	CHECK_EQ(board.level, 0);
}

static int (*receive)(void *, uint8_t *, size_t);

static int slow_receive(void *ctx, uint8_t *b, size_t cap)
{
	fake_pass_time(&board, 5);
	return receive(ctx, b, cap);
}

/* Time passes while the node reads messages, too. */
static void a_tap_ends_in_time_whatever_the_node_receives(void)
{
	begin(0);
	bring_online();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	(void)due_after(2997);
	CHECK(node.intent.active);
	receive = board.port.udp_recv;
	board.port.udp_recv = slow_receive;
	(void)step();
	CHECK(!node.intent.active);
}

static void a_separate_answer_is_acknowledged_once(void)
{
	uint8_t b[32];
	struct lk_coap_out o;

	begin(0);
	bring_online();
	lk_node_report(&node, LK_REPORT_HEALTH);
	(void)step();
	CHECK(take_sent());
	unsigned before = board.sent_total;
	lk_coap_begin(&o, b, sizeof b, LK_COAP_CON, LK_COAP_CHANGED, 0x4321, asked.token, asked.token_len);
	deliver(b, (size_t)lk_coap_end(&o, 0));
	(void)step();
	CHECK_EQ(board.sent_total, before + 1);
	CHECK(take_sent() && asked.type == LK_COAP_ACK && asked.mid == 0x4321);
}

/* C would read a path with a NUL in it as a shorter path. */
static void a_path_with_a_nul_is_refused_as_a_registration(void)
{
	static const char *const paths[] = {"a\0b", "a\1b"};
	uint8_t b[64];
	struct lk_coap_out o;

	for (int i = 0; i < 2; i++) {
		begin(0);
		for (int k = 0; k < 100 && !take_sent(); k++)
			(void)step();
		lk_coap_begin(&o, b, sizeof b, LK_COAP_ACK, LK_COAP_CREATED, asked.mid, asked.token, asked.token_len);
		lk_coap_option(&o, LK_COAP_LOCATION_PATH, (const uint8_t *)paths[i], 3);
		deliver(b, (size_t)lk_coap_end(&o, 0));
		(void)step();
		CHECK_EQ(lk_node_is_online(&node), i == 1);
	}
	begin(0);
	for (int k = 0; k < 100 && !take_sent(); k++)
		(void)step();
	answer(LK_COAP_CREATED, "r", NULL, 0);
	(void)step();
	node.registration.renew = board.now;
	(void)step();
	CHECK(take_sent() && strcmp(path, "/r") == 0);
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	CHECK(lk_node_is_online(&node)); /* one character is enough for a path */
}

int main(void)
{
	a_tap_goes_before_a_report();
	an_answer_belongs_to_its_request();
	nothing_of_an_old_session_is_left_in_the_next();
	a_session_begins_with_its_handshake();
	a_refused_tap_is_not_logged_as_a_refused_report();
	a_tap_ends_in_time_whatever_the_node_receives();
	no_echo_is_new_again_after_the_clock_wrapped();
	a_separate_answer_is_acknowledged_once();
	a_path_with_a_nul_is_refused_as_a_registration();
	a_resumed_session_renews_the_registration();
	a_node_that_cannot_resume_makes_a_handshake();
	a_resumed_session_without_an_answer_is_replaced_in_time();
	a_node_connects_within_a_second_of_its_start();
	the_node_is_due_when_its_handshake_is();
	a_handshake_that_cannot_begin_counts_as_a_lost_session();
	a_hint_just_after_the_start_is_followed();
	a_step_reads_only_a_few_messages();
	a_malformed_confirmable_message_is_answered_with_a_reset();
	return check_end("node_resumed");
}
