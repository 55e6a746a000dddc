/* What a node does about a hint that the gateway does not have its session any more. Anybody can
 * forge one. */
#include "hinted_node.h"

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

int main(void)
{
	a_hint_is_followed_while_a_registration_is_under_way();
	a_gateway_that_does_not_answer_gets_a_new_session();
	the_session_stays_in_use_meanwhile();
	a_session_that_ends_leaves_the_handshake();
	a_tap_goes_on();
	without_a_session_a_hint_does_nothing();
	without_memory_the_session_stays();
	a_handshake_beside_is_looked_at_when_it_is_due();
	return check_end("renewal");
}
