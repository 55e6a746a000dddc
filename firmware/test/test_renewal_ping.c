/* When a node pings the gateway after a hint, to the millisecond, and what counts as an answer. */
#include "hinted_node.h"

static void the_gateway_is_pinged_three_times_in_a_second(void)
{
	bring_online(false);
	give_hint();
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

/* If the node is busy meanwhile, it pings less often; the second does not get longer. */
static void a_late_node_pings_less_often(void)
{
	bring_online(false);
	give_hint();
	CHECK_EQ(due_after(600), 400);
	CHECK_EQ(pings, 2);
	bring_online(false);
	give_hint();
	CHECK_EQ(due_after(700), 300);
	CHECK_EQ(pings, 2);
	bring_online(false);
	give_hint();
	clear_handshake = LK_EAGAIN;
	CHECK_EQ(due_after(1000), 0);
	CHECK_EQ(pings, 1);
	CHECK_EQ(node.renewal.state, LK_RENEWAL_HANDSHAKE);
}

static void the_next_hint_is_followed_5_s_after_the_one_before(void)
{
	bring_online(false);
	give_hint();
	send_pong(ping);
	CHECK(due_after(0) > 5000);
	CHECK_EQ(node.renewal.state, LK_RENEWAL_NONE);
	node.link.dtls->hinted = true;
	CHECK_EQ(due_after(1000), 4000);
	CHECK_EQ(due_after(3999), 1);
	CHECK_EQ(pings, 1);
	CHECK_EQ(due_after(1), 300);
	CHECK_EQ(pings, 2);
}

/* With any random number: otherwise an answer to one would be taken for an answer to the other. */
static void a_ping_has_another_message_id_than_the_request(void)
{
	static const uint16_t numbers[] = {0, 1, 2, 0x7fff, 0xfffd, 0xfffe};

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		const uint8_t b[4] = {(uint8_t)numbers[i], (uint8_t)(numbers[i] >> 8)};
		bring_online(false);
		board.random = b;
		board.random_n = sizeof b;
		give_hint();
		CHECK_EQ(board.random_n, 0);
		CHECK(node.renewal.ping != node.link.out.mid);
		CHECK_EQ((uint16_t)(node.renewal.ping - node.link.out.mid), numbers[i] + 1);
	}
}

static void only_a_reset_answers_a_ping(void)
{
	bring_online(false);
	give_hint();
	for (uint8_t type = LK_COAP_CON; type <= LK_COAP_RST; type++) {
		const uint8_t b[] = {(uint8_t)(0x40 | type << 4), 0, (uint8_t)(ping >> 8), (uint8_t)ping};
		node.link.proven = false;
		fake_deliver(&board, b, sizeof b);
		(void)due_after(0);
		CHECK_EQ(node.renewal.state, type == LK_COAP_RST ? LK_RENEWAL_NONE : LK_RENEWAL_PING);
		/* it proves that the gateway still has a resumed association */
		CHECK_EQ(node.link.proven, type == LK_COAP_RST);
	}
}

/* An answer to an earlier ping, or to another message, does not count. */
static void only_the_answer_to_this_ping_counts(void)
{
	bring_online(false);
	node.link.dtls->hinted = true;
	(void)lk_node_step(&node);
	(void)take_sent();
	CHECK_EQ(pings, 1);
	uint16_t first = ping;
	send_pong((uint16_t)(first + 1));
	CHECK_EQ(node.renewal.state, LK_RENEWAL_PING);
	send_pong(first);
	(void)lk_node_step(&node);
	CHECK_EQ(node.renewal.state, LK_RENEWAL_NONE);
	pass_time(6000, true);
	node.link.dtls->hinted = true;
	(void)lk_node_step(&node);
	(void)take_sent();
	CHECK_EQ(pings, 2);
	CHECK(ping != first);
	send_pong(first);
	(void)lk_node_step(&node);
	CHECK_EQ(node.renewal.state, LK_RENEWAL_PING);
}

/* The next request may get the ping's message ID. A late answer to the ping must not end the
 * session then. */
static void a_late_answer_to_a_ping_resets_no_request(void)
{
	static const uint8_t zero[4];

	bring_online(false);
	board.random = zero;
	board.random_n = sizeof zero;
	give_hint();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)lk_node_step(&node);
	CHECK(take_sent());
	CHECK_EQ(asked.mid, ping);
	send_pong(ping);
	(void)lk_node_step(&node);
	CHECK(lk_node_is_online(&node));
	CHECK(node.intent.active);
}

/* While the gateway answers, forged hints cost one ping in 5 s, however many arrive. */
static void forged_hints_cost_a_ping_in_5_s(void)
{
	bring_online(true);
	struct lk_receipt r;
	lk_actuator_obey(
		&actuator, &(struct lk_command){.id = 1, .action = LK_UNLOCK, .duration = 10000}, board.now, &r);
	for (uint32_t gone = 0; gone < 60000; gone += 5) {
		node.link.dtls->hinted = true;
		pass_time(5, true);
		if (gone == 9000)
			CHECK_EQ(board.level, 100); /* a pulse goes on */
	}
	CHECK(pings >= 12 && pings <= 13);
	CHECK_EQ(node.link.sessions, 1);
	CHECK_EQ(board.opens, 1);
	pass_time(6000, true); /* the last hint may cause one more ping */
	CHECK(pings <= 14);
	CHECK(lk_node_is_idle(&node));
}

static void a_ping_that_cannot_be_sent_ends_the_session(void)
{
	bring_online(true);
	node.link.dtls->hinted = true;
	node.link.dtls->up = false;
	(void)lk_node_step(&node);
	CHECK(node.state != LK_NODE_UP);
}

int main(void)
{
	the_gateway_is_pinged_three_times_in_a_second();
	a_late_node_pings_less_often();
	the_next_hint_is_followed_5_s_after_the_one_before();
	a_ping_has_another_message_id_than_the_request();
	only_a_reset_answers_a_ping();
	only_the_answer_to_this_ping_counts();
	a_late_answer_to_a_ping_resets_no_request();
	forged_hints_cost_a_ping_in_5_s();
	a_ping_that_cannot_be_sent_ends_the_session();
	return check_end("renewal_ping");
}
