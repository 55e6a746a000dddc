/* How a node works with its gateway: connect, register, renew, report, and what it does when the
 * gateway fails. */
#include "check.h"
#include "played_gateway.h"

enum { LATER = 40 }; /* days */

static void a_network_that_was_down_for_weeks_is_used_when_it_is_back(void)
{
	boot(false);
	board.net = false;
	for (uint32_t h = 0; h < LATER * 24; h++) {
		(void)step();
		fake_pass_time(&board, 3600000);
	}
	board.net = true;
	(void)pass_time(2000);
	CHECK(take_sent() && strcmp(path, "/rd") == 0);
}

static void a_session_lasts_for_months(void)
{
	boot(true);
	board.now = UINT32_MAX - 100000; /* the clock wraps soon, and again later */
	lk_node_init(&node, &board.port, &settings, &counter, &served);
	bring_online();
	uint32_t renewals = 0, reports = 0, rounds = 0;
	for (uint64_t gone = 0; gone < (uint64_t)60 * 86400000; rounds++) {
		uint32_t due = step();
		if (take_sent()) {
			renewals += strcmp(path, "/rd/ab") == 0;
			reports += strcmp(path, "/report") == 0;
			answer(LK_COAP_CHANGED, NULL, NULL, 0);
			continue;
		}
		if (rounds % 1001 == 0)
			lk_node_report(&node, LK_REPORT_HEALTH);
		fake_pass_time(&board, due);
		gone += due;
	}
	CHECK_EQ(node.link.sessions, 1);
	CHECK(renewals >= 60 * 2880 && renewals < 60 * 3300);
	CHECK(reports > 100);
}

static void a_busy_gateway_is_left_alone_for_a_while(void)
{
	unsigned asks = 0;

	boot(true);
	bring_online();
	lk_node_report(&node, LK_REPORT_CONTACT);
	for (uint32_t gone = 0; gone < 10000; gone += 5) {
		(void)step();
		if (take_sent()) {
			asks++;
			answer(LK_COAP_CODE(4, 29), NULL, NULL, 0);
		}
		fake_pass_time(&board, 5);
	}
	CHECK(asks >= 3 && asks <= 11);
	CHECK_EQ(node.link.sessions, 1);
	for (int i = 0; i < 3000 && !(take_sent() && strcmp(path, "/report") == 0); i++) {
		(void)step();
		fake_pass_time(&board, 5);
	}
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	CHECK(lk_node_is_idle(&node)); /* the report has been sent */
}

static void a_busy_gateway_keeps_its_session(void)
{
	boot(true);
	bring_online();
	struct lk_receipt r;
	lk_actuator_obey(
		&actuator, &(struct lk_command){.id = 1, .action = LK_UNLOCK, .duration = 10000}, board.now, &r);
	fake_pass_time(&board, 25000);
	lk_actuator_obey(
		&actuator, &(struct lk_command){.id = 2, .action = LK_UNLOCK, .duration = 10000}, board.now, &r);
	fake_pass_time(&board, 5000);
	(void)step();
	CHECK(take_sent() && strcmp(path, "/rd/ab") == 0);
	answer(LK_COAP_CODE(4, 29), NULL, NULL, 0);
	(void)step();
	CHECK(lk_node_is_online(&node));
	CHECK_EQ(board.level, 100);
	CHECK(!take_sent()); /* not at once */
	CHECK(step() > 0);
	(void)pass_time(2000);
	CHECK(take_sent() && strcmp(path, "/rd/ab") == 0);
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	CHECK(lk_node_is_idle(&node));
}

static void a_door_that_was_open_for_a_moment_is_reported(void)
{
	static const char opened[] = "contact" "\x04\xf5", closed[] = "contact" "\x04\xf4";

	boot(true);
	actuator.contact = LK_CONTACT_OPEN; /* while there is no session */
	lk_node_report(&node, LK_REPORT_CONTACT | LK_REPORT_OPENED);
	actuator.contact = LK_CONTACT_CLOSED;
	lk_node_report(&node, LK_REPORT_CONTACT);
	bring_online();
	CHECK(take_sent() && strcmp(path, "/report") == 0);
	CHECK(payload_has(opened) && payload_has(closed));
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	lk_node_report(&node, LK_REPORT_CONTACT);
	(void)step();
	CHECK(take_sent() && strcmp(path, "/report") == 0);
	CHECK(!payload_has(opened) && payload_has(closed));
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	actuator.contact = LK_CONTACT_OPEN;
	lk_node_report(&node, LK_REPORT_CONTACT | LK_REPORT_OPENED);
	(void)step();
	CHECK(take_sent() && payload_has(opened) && !payload_has(closed));
}

static void a_case_that_was_open_for_a_moment_is_reported(void)
{
	static const char opened[] = "tamper" "\x04\xf5", closed[] = "tamper" "\x04\xf4";

	boot(false);
	lk_node_report(&node, LK_REPORT_TAMPER | LK_REPORT_TAMPERED); /* but node.report.tamper is false again */
	bring_online();
	CHECK(take_sent() && payload_has(opened) && payload_has(closed));
}

static void a_report_has_the_boards_readings(void)
{
	uint8_t echo[LK_ECHO_LEN] = {0};

	boot(true);
	board.voltage = 3300;
	board.rssi = -60;
	bring_online();
	lk_node_report(&node, LK_REPORT_HEALTH | LK_REPORT_EXIT);
	(void)step();
	CHECK(take_sent() && strcmp(path, "/report") == 0);
	CHECK_EQ(option_uint(LK_COAP_CONTENT_FORMAT), LK_FORMAT_SENML_CBOR);
	take_echo(echo);
	CHECK(memcmp(echo, node.link.held.echo, sizeof echo) == 0 && node.link.held.len == sizeof echo);
	CHECK(payload_has("exit\x04\xf5") && payload_has("uptime\x01\x61s\x02"));
	CHECK(payload_has("supply\x01\x62mV\x02\x19\x0c\xe4") && payload_has("rssi\x01\x63" "dBm\x02\x38\x3b"));
	/* these were not to be reported */
	CHECK(!payload_has("contact") && !payload_has("tamper") && !payload_has("boot"));
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	board.voltage = 0;
	board.rssi = 0;
	lk_held_forget(&node.link.held);
	(void)step();
	lk_held_forget(&node.link.held);
	lk_node_report(&node, LK_REPORT_HEALTH);
	(void)step();
	CHECK(take_sent() && payload_has("uptime") && !payload_has("supply") && !payload_has("rssi"));
	CHECK_EQ(option_uint(LK_COAP_ECHO), UINT32_MAX);
}

/* What the gateway has accepted, or has refused for good, is not reported again in the next
 * session. */
static void a_report_is_sent_once(void)
{
	static const uint8_t codes[] = {LK_COAP_CHANGED, LK_COAP_BAD_REQUEST}, reset[] = {0x70, 0x00};
	uint8_t b[4];

	for (size_t i = 0; i < sizeof codes; i++) {
		boot(true);
		bring_online();
		lk_node_report(&node, LK_REPORT_TAMPER);
		(void)step();
		CHECK(take_sent() && strcmp(path, "/report") == 0);
		answer(codes[i], NULL, NULL, 0);
		(void)step();
		CHECK(lk_node_is_idle(&node));
		node.registration.renew = board.now;
		(void)step();
		CHECK(take_sent());
		memcpy(b, reset, 2);
		b[2] = (uint8_t)(asked.mid >> 8);
		b[3] = (uint8_t)asked.mid;
		deliver(b, sizeof b); /* which ends the session */
		(void)step();
		bring_online();
		(void)pass_time(1000);
		CHECK(node.link.sessions == 2 && !take_sent() && lk_node_is_idle(&node));
	}
}

static void a_report_that_may_have_arrived_late_is_sent_again(void)
{
	boot(true);
	bring_online();
	lk_node_report(&node, LK_REPORT_TAMPER);
	(void)step();
	CHECK(take_sent() && strcmp(path, "/report") == 0);
	(void)pass_time(LK_SCAN_WINDOW); /* the gateway stores it as late and does not act on it */
	(void)take_sent();
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	(void)pass_time(2000);
	CHECK(take_sent() && strcmp(path, "/report") == 0 && payload_has("tamper"));
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	CHECK(lk_node_is_idle(&node));
}

static void all_reports_together_fit(void)
{
	boot(true);
	node.report.tamper = false;
	node.report.uptime = INT32_MAX;
	board.voltage = 65000;
	board.rssi = -128;
	bring_online();
	board.now += 590000; /* so that the age is long too; no registration is due before */
	node.registration.renew = board.now + 1000;
	lk_node_report(&node, UINT8_MAX);
	(void)step();
	CHECK(take_sent() && strcmp(path, "/report") == 0);
	CHECK(payload_has("exit") && payload_has("boot") && payload_has("rssi"));
}

/* When somebody is at the door, the node tries the gateway at once instead of waiting for the end
 * of the back-off. */
static void a_tap_does_not_wait_for_the_back_off(void)
{
	boot(false);
	board.open_result = LK_EIO;
	(void)pass_time(600000);
	board.open_result = 0;
	node.at = board.now + 60000;
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)pass_time(100);
	CHECK(take_sent() && strcmp(path, "/scan") == 0);
	boot(false); /* nor does a tap wait for the jitter after a wake */
	node.at = board.now + 1000;
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)pass_time(100);
	CHECK(take_sent() && strcmp(path, "/scan") == 0);
}

static void a_tap_ends_the_back_off_only_once(void)
{
	boot(false);
	board.open_result = LK_EIO;
	(void)pass_time(600000);
	board.opens = 0;
	node.at = board.now + 60000;
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)pass_time(LK_SCAN_WINDOW + 100);
	CHECK_EQ(board.opens, 1);
}

/* A press of the exit button that could not be reported for a while must not explain a door that
 * opened since. */
static void an_old_press_of_the_exit_button_is_not_reported(void)
{
	boot(true);
	lk_node_report(&node, LK_REPORT_EXIT | LK_REPORT_CONTACT);
	bring_online();
	CHECK(take_sent() && strcmp(path, "/report") == 0 && payload_has("exit") && payload_has("contact"));

	boot(true);
	board.net = false;
	lk_node_report(&node, LK_REPORT_EXIT | LK_REPORT_CONTACT);
	for (int i = 0; i < 300; i++) {
		(void)step();
		fake_pass_time(&board, 50);
	}
	board.net = true;
	bring_online();
	CHECK(take_sent() && strcmp(path, "/report") == 0 && !payload_has("exit") && payload_has("contact"));
}

/* Whatever the gateway refuses, the node pauses and tries again: it neither gives up nor retries
 * without a pause. */
static void after_each_refusal_the_node_pauses_and_tries_again(void)
{
	static const uint8_t codes[] = {LK_COAP_CODE(4, 0), LK_COAP_CODE(4, 1), LK_COAP_CODE(4, 3),
		LK_COAP_CODE(4, 4), LK_COAP_CODE(4, 29), LK_COAP_CODE(5, 3), LK_COAP_CREATED, LK_COAP_CHANGED,
		LK_COAP_CONTENT, 0 /* no answer */};

	for (size_t i = 0; i < sizeof codes; i++)
		for (int how = 0; how < 3; how++) {
			unsigned asks = 0, rounds = 0;
			boot(true);
			if (how > 0)
				bring_online();
			if (how > 1)
				lk_node_report(&node, LK_REPORT_CONTACT);
			for (uint32_t gone = 0; gone < 600000; rounds++) {
				uint32_t due = step();
				if (take_sent()) {
					asks++;
					if (codes[i] != 0)
						answer(codes[i], NULL, NULL, 0);
				}
				due = due > 50 ? 50 : due;
				fake_pass_time(&board, due);
				gone += due;
			}
			CHECK(asks >= 8 && asks < 700);
			CHECK(rounds < 20000);
		}
}

/* The gateway's verdict is a separate response. Its empty ACK before was lost, and the node's ACK
 * for the verdict is lost too. */
static void a_separate_verdict_is_accepted_and_acknowledged(void)
{
	uint8_t b[LK_MESSAGE_MAX];
	struct lk_coap_out o;
	size_t cap;
	int verdict;

	boot(false);
	bring_online();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(take_sent() && strcmp(path, "/scan") == 0);
	lk_coap_begin(&o, b, sizeof b, LK_COAP_CON, LK_COAP_CHANGED, 0x4444, asked.token, asked.token_len);
	uint8_t *body = lk_coap_payload(&o, &cap);
	int len = lk_coap_end(
		&o, lk_verdict_encode(&(struct lk_verdict){.verdict = LK_GRANTED, .last = 1}, body, cap));
	for (int copy = 0; copy < 3; copy++) {
		fake_deliver(&board, b, (size_t)len);
		(void)step();
		CHECK(take_sent() && asked.type == LK_COAP_ACK && asked.code == LK_COAP_EMPTY && asked.mid == 0x4444);
		CHECK(lk_intent_take_verdict(&node.intent, &verdict) == (copy == 0) && verdict == LK_GRANTED);
	}
	(void)pass_time(5000);
	CHECK(!take_sent()); /* the request is not retransmitted */
	b[7]++; /* a token that was never used */
	fake_deliver(&board, b, (size_t)len);
	(void)step();
	CHECK(take_sent() && asked.type == LK_COAP_RST && asked.mid == 0x4444);
}

static void a_socket_that_cannot_be_opened_is_tried_again_and_again(void)
{
	boot(false);
	board.open_result = LK_EIO;
	unsigned rounds = pass_time(600000);
	CHECK(board.opens >= 8 && board.opens < 60);
	CHECK(rounds < 20000);
	board.open_result = LK_EAGAIN;
	board.opens = 0;
	(void)pass_time(120000);
	CHECK(board.opens > 600 && board.opens < 2500);
	board.open_result = 0;
	(void)pass_time(61000);
	CHECK(take_sent());
}

/* The log has a line for the registration in each new session, but none for a renewal. */
static void each_session_logs_its_registration(void)
{
	unsigned lines = 0;

	boot(false);
	bring_online();
	clear_recv = LK_ECLOSED;
	(void)step();
	clear_recv = 0;
	CHECK(!lk_node_is_online(&node));
	bring_online();
	node.registration.renew = board.now;
	(void)step();
	CHECK(take_sent());
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	for (const char *at = board.logged; (at = strstr(at, "registered 90\n")) != NULL; at++)
		lines++;
	CHECK_EQ(lines, 2);
}

static void a_press_does_not_wait_for_the_back_off(void)
{
	boot(false);
	node.at = board.now + 60000;
	CHECK(lk_node_press(&node, LK_TOGGLE, board.now));
	(void)step();
	CHECK_EQ(board.opens, 1);
}

static void it_is_idle_when_nothing_is_under_way(void)
{
	boot(false);
	CHECK(lk_node_is_idle(&node));
	node.intent.active = true;
	CHECK(!lk_node_is_idle(&node));
	node.intent.active = false;
	node.link.out.active = true;
	CHECK(!lk_node_is_idle(&node));
	node.link.out.active = false;
	node.report.wanted = LK_REPORT_BOOT;
	CHECK(!lk_node_is_idle(&node));
}

static void it_is_due_when_a_request_is_to_be_retransmitted(void)
{
	boot(false);
	bring_online();
	lk_node_report(&node, LK_REPORT_HEALTH);
	uint32_t due = step();
	CHECK(node.link.out.active && due <= lk_exchange_due(&node.link.out, board.now));
}

int main(void)
{
	a_press_does_not_wait_for_the_back_off();
	it_is_idle_when_nothing_is_under_way();
	it_is_due_when_a_request_is_to_be_retransmitted();
	each_session_logs_its_registration();
	a_network_that_was_down_for_weeks_is_used_when_it_is_back();
	a_session_lasts_for_months();
	a_busy_gateway_is_left_alone_for_a_while();
	a_busy_gateway_keeps_its_session();
	a_door_that_was_open_for_a_moment_is_reported();
	a_case_that_was_open_for_a_moment_is_reported();
	a_report_has_the_boards_readings();
	a_report_is_sent_once();
	a_report_that_may_have_arrived_late_is_sent_again();
	all_reports_together_fit();
	a_tap_does_not_wait_for_the_back_off();
	a_tap_ends_the_back_off_only_once();
	an_old_press_of_the_exit_button_is_not_reported();
	after_each_refusal_the_node_pauses_and_tries_again();
	a_separate_verdict_is_accepted_and_acknowledged();
	a_socket_that_cannot_be_opened_is_tried_again_and_again();
	return check_end("node");
}
