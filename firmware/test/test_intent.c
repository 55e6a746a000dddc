/* From a tap to its verdict: what is asked, how often, and for how long. */
#include "check.h"
#include "err.h"
#include "played_gateway.h"

/* A node in session whose card was read now: its request is in asked. */
static void tap(void)
{
	boot(false);
	online();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(sent() && strcmp(path, "/scan") == 0);
}

static void a_verdict_that_comes_after_the_window_is_not_shown(void)
{
	int verdict;

	boot(false);
	online();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(sent() && strcmp(path, "/scan") == 0);
	fake_pass(&board, LK_SCAN_WINDOW); /* flash took its time */
	answer_verdict(LK_GRANTED, 1);
	(void)step();
	CHECK(lk_node_verdict(&node, &verdict));
	CHECK(verdict < 0);
	CHECK(lk_node_online(&node)); /* the gateway did answer */
}

static void nothing_is_asked_again_after_the_window(void)
{
	int verdict;

	boot(false);
	online();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(sent());
	fake_pass(&board, LK_SCAN_WINDOW);
	answer(LK_COAP_UNAUTHORIZED, NULL, NULL, 0);
	(void)step();
	CHECK(!sent());
	CHECK(lk_node_verdict(&node, &verdict) && verdict < 0);
}

/* A gateway that finds each message not fresh, by mistake or on purpose, is asked three times and no more, well within the window. */
static void a_gateway_that_never_finds_it_fresh_is_asked_three_times(void)
{
	int verdict;
	unsigned asks = 1;

	tap();
	for (int i = 0; i < 20 && !lk_node_verdict(&node, &verdict); i++) {
		answer(LK_COAP_UNAUTHORIZED, NULL, NULL, 0);
		(void)step();
		asks += sent();
		fake_pass(&board, 10);
	}
	CHECK_EQ(asks, 3);
	CHECK_EQ(verdict, LK_ESTALE);
	CHECK(lk_node_idle(&node));
	CHECK(lk_node_online(&node));
	/* The next card is asked about as often again. */
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(sent());
	answer(LK_COAP_UNAUTHORIZED, NULL, NULL, 0);
	(void)step();
	CHECK(sent() && strcmp(path, "/scan") == 0);
	answer_verdict(LK_GRANTED, 2);
	(void)step();
	CHECK(lk_node_verdict(&node, &verdict) && verdict == LK_GRANTED);
}

int main(void)
{
	a_verdict_that_comes_after_the_window_is_not_shown();
	nothing_is_asked_again_after_the_window();
	a_gateway_that_never_finds_it_fresh_is_asked_three_times();
	return check_end("intent");
}
