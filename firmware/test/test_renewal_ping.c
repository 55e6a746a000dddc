/* How a node asks the gateway after a hint, to the millisecond, and what counts as an answer. */
#include "hinted_node.h"

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
	the_gateway_is_asked_three_times_in_a_second();
	late_it_asks_less_often();
	the_next_hint_is_followed_5_s_after_the_one_before();
	a_ping_has_another_message_id_than_the_request();
	only_a_reset_answers_a_ping();
	only_the_answer_to_this_ping_counts();
	an_answer_to_a_ping_is_nothing_else();
	forged_hints_cost_a_ping_in_5_s();
	a_ping_that_cannot_be_sent_ends_the_session();
	return check_end("renewal_ping");
}
