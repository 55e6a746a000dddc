/* From a tap to its verdict: what the node asks the gateway, how often, and for how long. */
#include "check.h"
#include "err.h"
#include "played_gateway.h"

/* Brings a node online and lets it read a card. Its request is in asked. */
static void tap(void)
{
	boot(false);
	bring_online();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(take_sent() && strcmp(path, "/scan") == 0);
}

static void a_verdict_that_comes_after_the_window_is_not_shown(void)
{
	int verdict;

	boot(false);
	bring_online();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(take_sent() && strcmp(path, "/scan") == 0);
	fake_pass_time(&board, LK_SCAN_WINDOW); /* writing to flash was slow */
	answer_verdict(LK_GRANTED, 1);
	(void)step();
	CHECK(lk_intent_take_verdict(&node.intent, &verdict));
	CHECK(verdict < 0);
	CHECK(lk_node_is_online(&node)); /* the gateway did answer */
}

static void nothing_is_asked_again_after_the_window(void)
{
	int verdict;

	boot(false);
	bring_online();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(take_sent());
	fake_pass_time(&board, LK_SCAN_WINDOW);
	answer(LK_COAP_UNAUTHORIZED, NULL, NULL, 0);
	(void)step();
	CHECK(!take_sent());
	CHECK(lk_intent_take_verdict(&node.intent, &verdict) && verdict < 0);
}

/* A gateway that calls every message stale, by mistake or on purpose, is asked only three times,
 * well within the window. */
static void a_gateway_that_never_finds_it_fresh_is_asked_three_times(void)
{
	int verdict;
	unsigned asks = 1;

	tap();
	for (int i = 0; i < 20 && !lk_intent_take_verdict(&node.intent, &verdict); i++) {
		answer(LK_COAP_UNAUTHORIZED, NULL, NULL, 0);
		(void)step();
		asks += take_sent();
		fake_pass_time(&board, 10);
	}
	CHECK_EQ(asks, 3);
	CHECK_EQ(verdict, LK_ESTALE);
	CHECK(lk_node_is_idle(&node));
	CHECK(lk_node_is_online(&node));
	/* For the next card the gateway is asked three times again. */
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(take_sent());
	answer(LK_COAP_UNAUTHORIZED, NULL, NULL, 0);
	(void)step();
	CHECK(take_sent() && strcmp(path, "/scan") == 0);
	answer_verdict(LK_GRANTED, 2);
	(void)step();
	CHECK(lk_intent_take_verdict(&node.intent, &verdict) && verdict == LK_GRANTED);
}

/* Checks everything in asked but the payload: a POST that carries CBOR and accepts CBOR, with the
 * newest Echo if there is one. */
static void check_request(bool with_echo)
{
	uint8_t echo[LK_ECHO_LEN] = {0};

	CHECK(asked.type == LK_COAP_CON && asked.code == LK_COAP_POST);
	CHECK_EQ(option_uint(LK_COAP_CONTENT_FORMAT), LK_FORMAT_CBOR);
	CHECK_EQ(option_uint(LK_COAP_ACCEPT), LK_FORMAT_CBOR);
	take_echo(echo);
	CHECK((memcmp(echo, node.link.held.echo, sizeof echo) == 0 && echo[0] != 0) == with_echo);
	CHECK(with_echo || option_uint(LK_COAP_ECHO) == UINT32_MAX);
}

/* The gateway gets the card's UID as it was read, a counter, the newest Echo, and how long after
 * that Echo the tap was. */
static void a_card_is_sent_as_it_was_read(void)
{
	static const uint8_t card[LK_UID_MAX] = {0x88, 1, 2, 3, 4, 5, 6, 7, 8, 9}, lens[] = {4, 7, 10};
	struct lk_scan s;
	int verdict;

	boot(false);
	bring_online();
	uint32_t received = board.now;
	for (size_t i = 0; i < sizeof lens; i++) {
		(void)pass_time(2000);
		CHECK(lk_node_scan(&node, card, lens[i], board.now - 100));
		(void)step();
		CHECK(take_sent() && strcmp(path, "/scan") == 0);
		check_request(true);
		CHECK_EQ(lk_scan_parse(&s, asked.payload, asked.payload_len), 0);
		CHECK(s.n == i + 1 && s.uid_len == lens[i] && memcmp(s.uid, card, lens[i]) == 0);
		CHECK_EQ(s.age, (int32_t)(board.now - 100 - received) - LK_CLOCK_STEP);
		answer_verdict(LK_DENIED, i + 1);
		(void)step();
		CHECK(lk_intent_take_verdict(&node.intent, &verdict) && verdict == LK_DENIED);
		for (size_t k = 0; k < sizeof node.intent.uid; k++) /* erased when it is not needed any more */
			CHECK_EQ(node.intent.uid[k], 0);
		received = board.now;
	}
	lk_held_forget(&node.link.held);
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(take_sent());
	check_request(false);
	CHECK(lk_scan_parse(&s, asked.payload, asked.payload_len) == 0 && s.age == 0);
}

static void a_uid_of_an_impossible_length_is_not_sent(void)
{
	static const uint8_t card[LK_UID_MAX + 1] = {1};
	static const size_t lens[] = {0, 1, 3, 5, 9};
	int verdict;

	boot(false);
	bring_online();
	CHECK(!lk_node_scan(&node, card, sizeof card, board.now));
	CHECK(!node.intent.active);
	for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
		CHECK(lk_node_scan(&node, card, lens[i], board.now));
		(void)step();
		CHECK(!take_sent());
		CHECK(lk_intent_take_verdict(&node.intent, &verdict) && verdict == LK_ERANGE);
		CHECK(lk_node_is_idle(&node));
	}
}

/* A button asks for the target that the settings name, however long its name is. */
static void a_button_asks_for_its_target(void)
{
	static const char *const targets[] = {
		"a", "front-door", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"};
	char want[80];
	struct lk_act a;

	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
		boot(false);
		strcpy(settings.target, targets[i]);
		CHECK(strlen(targets[i]) < sizeof settings.target);
		bring_online();
		CHECK(lk_node_press(&node, LK_TOGGLE, board.now));
		CHECK(!lk_node_press(&node, LK_ON, board.now)); /* one intent at a time */
		(void)step();
		(void)snprintf(want, sizeof want, "/act/%s", targets[i]);
		CHECK(take_sent() && strcmp(path, want) == 0);
		check_request(true);
		CHECK_EQ(lk_act_parse(&a, asked.payload, asked.payload_len), 0);
		CHECK(a.n == 1 && a.action == LK_TOGGLE && a.age == -LK_CLOCK_STEP);
	}
}

static void a_second_card_waits_for_the_verdict_of_the_first(void)
{
	struct lk_scan s;

	tap();
	CHECK(!lk_node_scan(&node, (const uint8_t *)"abcd", 4, board.now));
	CHECK(node.intent.uid_len == sizeof uid && memcmp(node.intent.uid, uid, sizeof uid) == 0);
	(void)pass_time(1500);
	CHECK(take_sent() && lk_scan_parse(&s, asked.payload, asked.payload_len) == 0 && s.n == 1 &&
		  memcmp(s.uid, uid, sizeof uid) == 0);
}

/* If a counter were used again after the next boot, an old scan could pass for a new one. */
static void without_a_counter_nothing_is_sent(void)
{
	boot(false);
	bring_online();
	board.kv_power = 0;
	CHECK(!lk_node_scan(&node, uid, sizeof uid, board.now));
	CHECK(!lk_node_press(&node, LK_ON, board.now));
	(void)step();
	CHECK(!take_sent() && lk_node_is_idle(&node));
}

/* The gateway has seen higher counters than the node remembers, because flash was erased or the
 * board was replaced. */
static void a_counter_that_is_behind_catches_up(void)
{
	struct lk_scan s;
	int verdict;

	boot(false);
	bring_online();
	(void)pass_time(5000);
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(take_sent());
	answer_verdict(LK_DENIED, 1000);
	(void)step();
	CHECK(!lk_intent_take_verdict(&node.intent, &verdict));
	CHECK(take_sent() && lk_scan_parse(&s, asked.payload, asked.payload_len) == 0 && s.n == 1001);
	answer_verdict(LK_GRANTED, 1001);
	(void)step();
	CHECK(lk_intent_take_verdict(&node.intent, &verdict) && verdict == LK_GRANTED);

	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(take_sent());
	board.kv_power = 0;
	answer_verdict(LK_DENIED, 5000);
	(void)step();
	CHECK(!take_sent());
	CHECK(lk_intent_take_verdict(&node.intent, &verdict) && verdict == LK_EIO);
}

static void an_answer_that_is_no_verdict_ends_the_intent(void)
{
	static const uint8_t broken[] = {0xa1, 0x00};
	int verdict;

	tap();
	answer(LK_COAP_NOT_FOUND, NULL, NULL, 0);
	(void)step();
	CHECK(lk_intent_take_verdict(&node.intent, &verdict) && verdict == LK_ENONE);
	tap();
	answer(LK_COAP_CHANGED, NULL, broken, sizeof broken);
	(void)step();
	CHECK(lk_intent_take_verdict(&node.intent, &verdict) && verdict == LK_EMALFORMED);
	CHECK(!take_sent() && lk_node_is_online(&node));
}

/* If a scan got no answer for half a window, the node gives the session up. If the gateway had less
 * time, the session stays. */
static void a_silent_gateway_loses_the_session(void)
{
	int verdict;

	tap();
	(void)pass_time(LK_SCAN_WINDOW - 100);
	CHECK(!lk_intent_take_verdict(&node.intent, &verdict));
	CHECK_EQ(node.state, LK_NODE_UP);
	(void)pass_time(100);
	CHECK(lk_intent_take_verdict(&node.intent, &verdict) && verdict == LK_EAGAIN);
	CHECK(node.state == LK_NODE_WAITING && lk_node_is_idle(&node));

	boot(false);
	board.net = false;
	(void)pass_time(10000);
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)pass_time(2000);
	board.net = true;
	(void)pass_time(LK_SCAN_WINDOW - 2000 - 100);
	CHECK(take_sent() && strcmp(path, "/scan") == 0);
	(void)pass_time(100);
	CHECK(lk_intent_take_verdict(&node.intent, &verdict) && verdict == LK_EAGAIN);
	CHECK(node.state == LK_NODE_UP && node.link.sessions == 1);
	/* the scan is not sent again: the session continues with the registration */
	CHECK(take_sent() && strcmp(path, "/rd") == 0);
}

/* The gateway's silence counts from the time at which this intent was sent, not the one before. */
static void silence_counts_from_the_newest_intent(void)
{
	int verdict;

	boot(false);
	bring_online();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(take_sent());
	answer_verdict(LK_GRANTED, 0);
	(void)step();
	CHECK(lk_intent_take_verdict(&node.intent, &verdict) && verdict == LK_GRANTED);
	pass_time(5000);
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now - 2000)); /* read 2 s ago */
	pass_time(1100);
	CHECK(lk_intent_take_verdict(&node.intent, &verdict) && verdict < 0);
	CHECK(lk_node_is_online(&node)); /* the gateway had only 1 s to answer: the session is kept */
}

int main(void)
{
	silence_counts_from_the_newest_intent();
	a_card_is_sent_as_it_was_read();
	a_uid_of_an_impossible_length_is_not_sent();
	a_button_asks_for_its_target();
	a_second_card_waits_for_the_verdict_of_the_first();
	without_a_counter_nothing_is_sent();
	a_counter_that_is_behind_catches_up();
	an_answer_that_is_no_verdict_ends_the_intent();
	a_silent_gateway_loses_the_session();
	a_verdict_that_comes_after_the_window_is_not_shown();
	nothing_is_asked_again_after_the_window();
	a_gateway_that_never_finds_it_fresh_is_asked_three_times();
	return check_end("intent");
}
