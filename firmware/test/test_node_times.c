/* A node's times with its gateway, to the millisecond: how long it waits for what, and what it
 * writes into its registration. */
#include "check.h"
#include "err.h"
#include "played_gateway.h"

/* Brings a node online without random numbers, so that every jitter is 0. */
static void begin(bool lock)
{
	boot(lock);
	board.now = 5000;
	board.random_fails = true;
	lk_node_init(&node, &board.port, &settings, &counter, lock ? &served : NULL);
	bring_online();
}

static void without_a_network_it_looks_for_one_every_50_ms(void)
{
	boot(false);
	board.random_fails = true;
	lk_node_init(&node, &board.port, &settings, &counter, NULL);
	board.net = false;
	for (int i = 0; i < 10; i++) {
		CHECK_EQ(step(), 50);
		CHECK_EQ(due_after(20), 30);
		fake_pass_time(&board, 30);
	}
	board.net = true;
	CHECK_EQ(step(), 0);
	CHECK_EQ(node.state, LK_NODE_HANDSHAKE);
	CHECK(logged("connecting 1\n"));
	CHECK_EQ(step(), 0);
	CHECK(logged("session up 1\n"));
	CHECK_EQ(node.state, LK_NODE_UP);
}

/* While the gateway's name is not resolved yet, udp_open returns LK_EAGAIN. */
static void the_gateways_name_is_tried_every_50_ms(void)
{
	boot(false);
	board.random_fails = true;
	lk_node_init(&node, &board.port, &settings, &counter, NULL);
	board.open_result = LK_EAGAIN;
	for (unsigned i = 1; i < 10; i++) {
		CHECK_EQ(step(), 0);
		CHECK_EQ(board.opens, i);
		CHECK_EQ(step(), 50);
		CHECK_EQ(due_after(49), 1);
		CHECK_EQ(board.opens, i);
		fake_pass_time(&board, 1);
	}
	CHECK_EQ(node.pause, 1000); /* this does not count as a failure */
}

static void the_pause_doubles_up_to_a_minute(void)
{
	static const uint32_t pauses[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
	char text[40];

	boot(false);
	board.random_fails = true;
	lk_node_init(&node, &board.port, &settings, &counter, NULL);
	board.open_result = LK_EIO;
	snprintf(text, sizeof text, "session lost, error %d\n", -LK_EIO);
	for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
		CHECK_EQ(step(), 0);
		CHECK_EQ(board.opens, i + 1);
		CHECK_EQ(step(), pauses[i]);
		CHECK_EQ(due_after(pauses[i] - 1), 1);
		CHECK_EQ(board.opens, i + 1);
		fake_pass_time(&board, 1);
	}
	CHECK(logged(text));
}

/* Makes sending fail, so that the node loses its session. */
static void lose_session(void)
{
	board.send_result = LK_EIO;
	lk_node_report(&node, LK_REPORT_HEALTH);
	(void)step();
	CHECK_EQ(node.state, LK_NODE_WAITING);
}

static void after_a_loss_it_is_due_in_time_to_connect(void)
{
	begin(false);
	node.registration.renew = board.now + 100000;
	board.send_result = LK_EIO;
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	uint32_t due = step();
	CHECK_EQ(node.state, LK_NODE_WAITING);
	CHECK(due <= node.at - board.now);
	CHECK_EQ(step(), node.at - board.now);
}

static void after_a_session_of_a_minute_the_pause_starts_short_again(void)
{
	for (uint32_t ms = 59999; ms <= 60001; ms++) {
		begin(false);
		node.pause = 8000;
		node.registration.renew = board.now + 100000;
		(void)due_after(ms - (board.now - node.at));
		lose_session();
		CHECK_EQ(node.pause, ms > 60000 ? 1000 : 16000);
		CHECK_EQ(node.at - board.now, 4000);
		CHECK(node.report.wanted & LK_REPORT_HEALTH); /* the report is still to be sent */
	}
}

static void a_registration_and_a_report_wait_6_s_for_an_answer(void)
{
	for (int report = 0; report < 2; report++) {
		begin(false);
		node.registration.renew = report ? board.now + 100000 : board.now;
		if (report)
			lk_node_report(&node, LK_REPORT_HEALTH);
		(void)step();
		CHECK(take_sent());
		fake_pass_time(&board, 5900);
		while (step() == 0)
			;
		CHECK_EQ(step(), 100);
		CHECK(due_after(99) == 1);
		CHECK_EQ(node.state, LK_NODE_UP);
		(void)due_after(1);
		CHECK_EQ(node.state, LK_NODE_WAITING);
		CHECK_EQ(node.report.wanted & LK_REPORT_HEALTH, report ? LK_REPORT_HEALTH : 0);
		CHECK_EQ(node.report.sending, 0);
	}
}

static bool has_query(const char *text)
{
	struct lk_coap_option o = {0};

	while (lk_coap_next(&asked, &o))
		if (o.number == LK_COAP_URI_QUERY && o.len == strlen(text) && memcmp(o.value, text, o.len) == 0)
			return true;
	return false;
}

static unsigned count_queries(void)
{
	struct lk_coap_option o = {0};
	unsigned n = 0;

	while (lk_coap_next(&asked, &o))
		n += o.number == LK_COAP_URI_QUERY;
	return n;
}

/* Lets a node send its registration, which is then in asked. */
static void begin_registration(bool lock, const char *device, uint32_t lifetime)
{
	boot(lock);
	snprintf(settings.device, sizeof settings.device, "%s", device);
	node.registration.lifetime = lifetime;
	for (int i = 0; i < 100 && !take_sent(); i++) {
		uint32_t due = step();
		fake_pass_time(&board, due > 50 ? 50 : due);
	}
	CHECK(strcmp(path, "/rd") == 0);
}

static void a_registration_says_what_the_node_is(void)
{
	char longest[sizeof settings.device], ep[3 + sizeof longest];

	begin_registration(true, "porch", LK_LIFETIME);
	CHECK(has_query("lt=00090") && has_query("ep=porch"));
	CHECK_EQ(count_queries(), 2);
	CHECK_EQ(option_uint(LK_COAP_CONTENT_FORMAT), LK_FORMAT_LINKS);
	CHECK(payload_has("</act>"));
	answer(LK_COAP_CREATED, "rd/ab", NULL, 0);
	(void)step();
	CHECK(logged("registered 90\n"));
	node.registration.renew = board.now;
	(void)step();
	CHECK(take_sent() && strcmp(path, "/rd/ab") == 0);
	CHECK(has_query("lt=00090"));
	CHECK_EQ(option_uint(LK_COAP_CONTENT_FORMAT), UINT32_MAX);
	CHECK_EQ(asked.payload_len, 0); /* the gateway keeps what a renewal does not repeat */

	begin_registration(false, "", LK_LIFETIME_ASLEEP);
	CHECK(has_query("lt=14400"));
	CHECK_EQ(count_queries(), 1);
	CHECK_EQ(option_uint(LK_COAP_CONTENT_FORMAT), UINT32_MAX);
	CHECK_EQ(asked.payload_len, 0);
	begin_registration(false, "x", 98765);
	CHECK(has_query("lt=98765") && has_query("ep=x"));
	memset(longest, 'd', sizeof longest - 1);
	longest[sizeof longest - 1] = 0;
	begin_registration(false, longest, LK_LIFETIME);
	snprintf(ep, sizeof ep, "ep=%s", longest);
	CHECK(has_query(ep));
}

static void its_registration_is_renewed_after_a_third(void)
{
	static const uint8_t most[4] = {2999 & 0xff, 2999 >> 8}, over[4] = {3000 & 0xff, 3000 >> 8};

	for (int how = 0; how < 3; how++) {
		begin_registration(false, "", LK_LIFETIME);
		board.random_fails = how == 0;
		board.random = how == 1 ? most : over;
		board.random_n = how == 0 ? 0 : 4;
		answer(LK_COAP_CREATED, "rd/ab", NULL, 0);
		uint32_t due = step();
		CHECK_EQ(node.registration.renew - board.now, how == 1 ? 27001 : 30000);
		CHECK_EQ(due, node.registration.renew - board.now);
	}
}

static void a_registration_with_a_path_that_is_too_long_is_refused(void)
{
	static const struct {
		const char *location;
		bool good;
	} all[] = {{"rd/ab", true}, {"r", true}, {"r/s/t/u", true}, {"rd/456789012345678901234", true},
		{"rd/4567890123456789012345", false}, {"23456789012345678901234", true},
		{"345678901234567890123456/rd", false}, {"rd/345678901234567890123456/a", false}};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		begin_registration(false, "", LK_LIFETIME);
		answer(LK_COAP_CREATED, all[i].location, NULL, 0);
		(void)step();
		CHECK_EQ(lk_node_is_online(&node), all[i].good);
		CHECK(!all[i].good || strcmp(node.registration.location, all[i].location) == 0);
		CHECK_EQ(logged("registration refused, code 65\n"), !all[i].good);
	}
	begin_registration(false, "", LK_LIFETIME);
	answer(LK_COAP_CREATED, NULL, NULL, 0);
	(void)step();
	CHECK(!lk_node_is_online(&node));
}

static void a_gateway_that_forgot_the_node_gets_a_full_registration(void)
{
	begin(true);
	node.registration.renew = board.now;
	(void)step();
	CHECK(take_sent() && strcmp(path, "/rd/ab") == 0);
	answer(LK_COAP_NOT_FOUND, NULL, NULL, 0);
	(void)step();
	CHECK(take_sent() && strcmp(path, "/rd") == 0);
	CHECK(payload_has("</act>"));
	CHECK_EQ(node.link.sessions, 1);
	CHECK(!lk_node_is_online(&node));
}

static void a_busy_gateway_is_asked_again_after_a_second(void)
{
	begin(false);
	lk_node_report(&node, LK_REPORT_HEALTH);
	(void)step();
	CHECK(take_sent());
	answer(LK_COAP_UNAVAILABLE, NULL, NULL, 0);
	CHECK_EQ(step(), 1000);
	CHECK_EQ(due_after(999), 1);
	CHECK(!take_sent());
	(void)due_after(1);
	CHECK(take_sent() && strcmp(path, "/report") == 0);
}

static void a_press_of_the_exit_button_is_reported_for_10_s(void)
{
	for (uint32_t ms = 9999; ms <= 10000; ms++) {
		begin(true);
		node.registration.renew = board.now + 100000;
		node.link.hold = board.now + 20000;
		lk_node_report(&node, LK_REPORT_EXIT);
		(void)due_after(ms);
		CHECK_EQ((node.report.wanted & LK_REPORT_EXIT) != 0, ms < 10000);
	}
}

static void the_seconds_are_counted(void)
{
	begin(false);
	uint32_t before = node.report.uptime, at = node.report.second;
	(void)due_after(at + 999 - board.now);
	CHECK_EQ(node.report.uptime, before);
	(void)due_after(1);
	CHECK_EQ(node.report.uptime, before + 1);
	CHECK_EQ(node.report.second, at + 1000);
	(void)due_after(5000);
	CHECK_EQ(node.report.uptime, before + 6);
	CHECK_EQ(node.report.second, at + 6000);
}

/* When the scan's window ends without an answer, the session is kept only if the gateway had less
 * than half of it. */
static void a_gateway_that_is_silent_for_half_the_window_loses_the_session(void)
{
	for (uint32_t late = 1500; late <= 1501; late++) {
		begin(false);
		node.registration.renew = board.now + 100000;
		CHECK(lk_node_scan(&node, uid, sizeof uid, board.now - late));
		(void)step();
		CHECK(take_sent() && strcmp(path, "/scan") == 0);
		while (board.now - node.intent.at < 2999)
			CHECK(due_after(1) <= 3000 - (board.now - node.intent.at));
		CHECK(node.intent.active);
		(void)due_after(1);
		CHECK(!node.intent.active);
		CHECK_EQ(node.state, late == 1500 ? LK_NODE_WAITING : LK_NODE_UP);
	}
}

int main(void)
{
	without_a_network_it_looks_for_one_every_50_ms();
	the_gateways_name_is_tried_every_50_ms();
	the_pause_doubles_up_to_a_minute();
	after_a_loss_it_is_due_in_time_to_connect();
	after_a_session_of_a_minute_the_pause_starts_short_again();
	a_registration_and_a_report_wait_6_s_for_an_answer();
	a_registration_says_what_the_node_is();
	its_registration_is_renewed_after_a_third();
	a_registration_with_a_path_that_is_too_long_is_refused();
	a_gateway_that_forgot_the_node_gets_a_full_registration();
	a_busy_gateway_is_asked_again_after_a_second();
	a_press_of_the_exit_button_is_reported_for_10_s();
	the_seconds_are_counted();
	a_gateway_that_is_silent_for_half_the_window_loses_the_session();
	return check_end("node_times");
}
