/* How a node follows a hint that the gateway no longer has its session. Anybody can forge a
 * hint. */
#include "hinted_node.h"

/* A gateway that was restarted meanwhile does not answer the registration. The node does not wait
 * until the registration times out. */
static void a_hint_is_followed_while_a_registration_is_under_way(void)
{
	begin_registration(true);
	CHECK(!lk_node_is_online(&node));
	node.link.dtls->hinted = true;
	pass_time(990, false);
	CHECK_EQ(pings, 3);
	CHECK_EQ(node.link.sessions, 1);
	pass_time(60, false);
	CHECK_EQ(node.link.sessions, 2);
	CHECK_EQ(board.opens, 1);
	answer(LK_COAP_CREATED, "rd/cd");
	(void)lk_node_step(&node);
	CHECK(lk_node_is_online(&node));
}

static void a_gateway_that_does_not_answer_gets_a_new_session(void)
{
	bring_online(true);
	struct lk_receipt r;
	lk_actuator_obey(
		&actuator, &(struct lk_command){.id = 9, .action = LK_UNLOCK, .duration = 10000}, board.now, &r);
	node.link.dtls->hinted = true;
	pass_time(990, false);
	CHECK_EQ(pings, 3);
	CHECK_EQ(node.link.sessions, 1);
	CHECK(!lk_node_is_idle(&node)); /* so a battery reader stays awake */
	pass_time(60, false);
	CHECK_EQ(node.link.sessions, 2);
	CHECK_EQ(board.opens, 1); /* the same socket, and so the same port */
	CHECK_EQ(board.level, 0); /* the session that commanded the pulse is over */
	CHECK(actuator.last == 0);
	CHECK(!lk_node_is_online(&node));
	answer(LK_COAP_CREATED, "rd/cd");
	(void)lk_node_step(&node);
	CHECK(lk_node_is_online(&node));
}

/* The session stays in use until the new handshake is done, and if it fails. */
static void the_session_stays_in_use_meanwhile(void)
{
	bring_online(true);
	clear_handshake = LK_EAGAIN;
	node.link.dtls->hinted = true;
	pass_time(1050, false);
	CHECK_EQ(node.renewal.state, LK_RENEWAL_HANDSHAKE);
	for (int i = 0; i < 20; i++) {
		node.link.dtls->hinted = true; /* has no effect during the handshake */
		pass_time(500, true);
		CHECK(lk_node_is_online(&node));
		CHECK_EQ(node.renewal.state, LK_RENEWAL_HANDSHAKE);
	}
	clear_handshake = LK_ECLOSED;
	node.link.dtls->hinted = false;
	pass_time(1000, true);
	CHECK_EQ(node.renewal.state, LK_RENEWAL_NONE);
	CHECK(lk_node_is_online(&node));
	CHECK_EQ(node.link.sessions, 1);
}

/* If the session ends during the new handshake, the handshake continues. */
static void the_handshake_continues_when_the_session_ends(void)
{
	bring_online(false);
	clear_handshake = LK_EAGAIN;
	node.link.dtls->hinted = true;
	pass_time(1050, false);
	node.registration.renew = board.now;
	pass_time(7000, false); /* the registration is not answered */
	CHECK_EQ(node.state, LK_NODE_HANDSHAKE);
	CHECK_EQ(node.link.dtls, &node.pair[1]);
	CHECK_EQ(node.link.spare, &node.pair[0]); /* free for the next association */
	CHECK(!node.pair[0].configured && node.pair[1].configured);
	CHECK_EQ(board.opens, 1);
	clear_handshake = 0;
	pass_time(100, false);
	CHECK_EQ(node.state, LK_NODE_UP);
	CHECK_EQ(node.link.sessions, 2);
}

/* A tap that the old session could not deliver continues in the new one: the same intent with the
 * same counter. */
static void a_tap_continues_in_the_new_session(void)
{
	struct lk_coap_option o = {0};
	int verdict;

	bring_online(false);
	uint32_t at = board.now;
	CHECK(lk_node_scan(&node, uid, sizeof uid, at));
	(void)lk_node_step(&node);
	CHECK(take_sent());
	node.link.dtls->hinted = true;
	pass_time(1050, false);
	CHECK_EQ(node.link.sessions, 2);
	CHECK(node.intent.active && node.intent.at == at && node.intent.n == 1);
	CHECK(lk_coap_next(&asked, &o) && o.number == LK_COAP_URI_PATH && o.len == 4 &&
		  memcmp(o.value, "scan", 4) == 0);
	CHECK(!lk_intent_take_verdict(&node.intent, &verdict));
	pass_time(2500, false);
	/* and it ends 3 s after the tap */
	CHECK(lk_intent_take_verdict(&node.intent, &verdict) && verdict < 0);
}

/* Without a session there is nothing to renew. */
static void without_a_session_a_hint_does_nothing(void)
{
	bring_online(false);
	board.open_result = LK_EIO;
	node.registration.renew = board.now;
	pass_time(10000, false);
	CHECK_EQ(node.state, LK_NODE_WAITING);
	unsigned opens = board.opens;
	node.at = board.now + 60000;
	for (int i = 0; i < 1000; i++) {
		node.link.dtls->hinted = true;
		pass_time(5, false);
	}
	CHECK_EQ(board.opens, opens);
	CHECK_EQ(pings, 0);
}

/* Without memory for a second association the first one stays, and the next hint is followed as
 * usual. */
static void without_memory_the_session_stays(void)
{
	bring_online(false);
	give_hint();
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

static void the_node_is_due_when_the_second_handshake_is(void)
{
	bring_online(false);
	give_hint();
	clear_handshake = LK_EAGAIN;
	(void)due_after(1000);
	clear_due = 777;
	CHECK_EQ(due_after(1), 777);
	node.link.dtls->held_n = 1; /* as if the handshake had read a datagram of the session */
	CHECK_EQ(due_after(1), 0);
	node.link.dtls->held_n = 0;
	char text[40];
	snprintf(text, sizeof text, "no new session, error %d\n", -LK_ECLOSED);
	clear_handshake = LK_ECLOSED;
	node.link.dtls->hinted = false;
	CHECK(due_after(1) > 5000);
	CHECK(logged(text));
	CHECK(!node.pair[1].configured);

	bring_online(false);
	give_hint();
	clear_handshake = LK_EAGAIN;
	(void)due_after(1000);
	clear_handshake = 0;
	CHECK_EQ(due_after(1), 0); /* the registration is to be sent */
	CHECK_EQ(node.link.sessions, 2);
	CHECK_EQ(node.link.dtls, &node.pair[1]);
	CHECK(!node.pair[0].configured);
}

int main(void)
{
	a_hint_is_followed_while_a_registration_is_under_way();
	a_gateway_that_does_not_answer_gets_a_new_session();
	the_session_stays_in_use_meanwhile();
	the_handshake_continues_when_the_session_ends();
	a_tap_continues_in_the_new_session();
	without_a_session_a_hint_does_nothing();
	without_memory_the_session_stays();
	the_node_is_due_when_the_second_handshake_is();
	return check_end("renewal");
}
