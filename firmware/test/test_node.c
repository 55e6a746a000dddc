/* A node's life against a gateway that the tests play, message by message, so that each answer can come when and as a test wants. */
#include "check.h"
#include "clear_dtls.h"
#include "fake_port.h"
#include "node.h"

enum { LATER = 40 }; /* days */
static const uint8_t uid[] = {4, 1, 2, 3, 4, 5, 6};

static struct fake_port board;
static struct lk_settings settings;
static struct lk_counter counter;
static struct lk_actuator actuator;
static struct lk_node node;

/* The newest message that the node sent. */
static struct lk_coap asked;
static uint8_t asked_b[FAKE_DATAGRAM];
static char path[64];

static void boot(bool lock)
{
	fake_init(&board);
	memset(&settings, 0, sizeof settings);
	memcpy(settings.host, "gw", 3);
	memset(&counter, 0, sizeof counter);
	(void)lk_counter_load(&counter, &board.port);
	lk_actuator_init(&actuator, &board.port, false);
	lk_node_init(&node, &board.port, &settings, &counter, lock ? &actuator : NULL);
}

/* Takes the newest message and tells whether there was one. */
static bool sent(void)
{
	struct lk_coap_option o = {0};
	size_t n, len = 0, at = 0;

	while ((n = fake_sent(&board, asked_b, sizeof asked_b)) > 0)
		len = n;
	path[0] = 0;
	if (len == 0 || lk_coap_parse(&asked, asked_b, len) < 0)
		return false;
	while (lk_coap_next(&asked, &o))
		if (o.number == LK_COAP_URI_PATH && at + o.len + 2 < sizeof path) {
			path[at++] = '/';
			memcpy(path + at, o.value, o.len);
			at += o.len;
			path[at] = 0;
		}
	return true;
}

/* Answers it, with an Echo, a Location-Path and a payload if there are any. */
static void answer(uint8_t code, const char *location, const uint8_t *payload, size_t n)
{
	static uint32_t echo;
	uint8_t b[LK_MESSAGE_MAX], e[8] = {1};
	struct lk_coap_out o;
	size_t cap;

	echo++;
	memcpy(e + 1, &echo, sizeof echo);
	lk_coap_begin(&o, b, sizeof b, LK_COAP_ACK, code, asked.mid, asked.token, asked.token_len);
	if (location)
		lk_coap_option_path(&o, LK_COAP_LOCATION_PATH, location);
	if (code >> 5 == 2 || code == LK_COAP_UNAUTHORIZED)
		lk_coap_option(&o, LK_COAP_ECHO, e, sizeof e);
	uint8_t *p = lk_coap_payload(&o, &cap);
	if (n > 0)
		memcpy(p, payload, n);
	int len = lk_coap_end(&o, (int)n);
	CHECK(len > 0);
	fake_deliver(&board, b, (size_t)len);
}

static void answer_verdict(uint8_t verdict, uint64_t last)
{
	uint8_t b[LK_WIRE_MAX];
	int n = lk_verdict_encode(&(struct lk_verdict){.verdict = verdict, .last = last}, b, sizeof b);

	CHECK(n > 0);
	answer(LK_COAP_CHANGED, NULL, b, (size_t)n);
}

static bool in_payload(const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i + n <= asked.payload_len; i++)
		if (memcmp(asked.payload + i, text, n) == 0)
			return true;
	return false;
}

static uint32_t step(void) { return lk_node_step(&node); }

/* Lets ms pass as the app does, in waits of at most 50 ms; what is asked is not answered. Returns the rounds. */
static unsigned pass(uint32_t ms)
{
	unsigned rounds = 0;

	for (uint32_t gone = 0; gone < ms; rounds++) {
		uint32_t due = step();
		due = due < 1 ? 1 : due > 50 ? 50 : due;
		fake_pass(&board, due);
		gone += due;
	}
	(void)step();
	return rounds;
}

/* Has the node connect and register. */
static void online(void)
{
	for (int i = 0; i < 100 && !sent(); i++) {
		uint32_t due = step();
		fake_pass(&board, due > 50 ? 50 : due);
	}
	CHECK(strcmp(path, "/rd") == 0);
	answer(LK_COAP_CREATED, "rd/ab", NULL, 0);
	(void)step();
	CHECK(lk_node_online(&node));
}

static void a_network_that_was_away_for_weeks_is_used_when_it_is_back(void)
{
	boot(false);
	board.net = false;
	for (uint32_t h = 0; h < LATER * 24; h++) {
		(void)step();
		fake_pass(&board, 3600000);
	}
	board.net = true;
	(void)pass(2000);
	CHECK(sent() && strcmp(path, "/rd") == 0);
}

static void a_session_lasts_for_months(void)
{
	boot(true);
	board.now = UINT32_MAX - 100000; /* the clock comes round soon, and once more later */
	lk_node_init(&node, &board.port, &settings, &counter, &actuator);
	online();
	uint32_t renewals = 0, reports = 0, rounds = 0;
	for (uint64_t gone = 0; gone < (uint64_t)60 * 86400000; rounds++) {
		uint32_t due = step();
		if (sent()) {
			renewals += strcmp(path, "/rd/ab") == 0;
			reports += strcmp(path, "/report") == 0;
			answer(LK_COAP_CHANGED, NULL, NULL, 0);
			continue;
		}
		if (rounds % 1001 == 0)
			lk_node_report(&node, LK_REPORT_HEALTH);
		fake_pass(&board, due);
		gone += due;
	}
	CHECK_EQ(node.sessions, 1);
	CHECK(renewals >= 60 * 2880 && renewals < 60 * 3300);
	CHECK(reports > 100);
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

static void a_busy_gateway_is_left_alone_for_a_while(void)
{
	unsigned asks = 0;

	boot(true);
	online();
	lk_node_report(&node, LK_REPORT_CONTACT);
	for (uint32_t gone = 0; gone < 10000; gone += 5) {
		(void)step();
		if (sent()) {
			asks++;
			answer(LK_COAP_CODE(4, 29), NULL, NULL, 0);
		}
		fake_pass(&board, 5);
	}
	CHECK(asks >= 3 && asks <= 11);
	CHECK_EQ(node.sessions, 1);
	for (int i = 0; i < 3000 && !(sent() && strcmp(path, "/report") == 0); i++) {
		(void)step();
		fake_pass(&board, 5);
	}
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	CHECK(lk_node_idle(&node)); /* told at last */
}

static void a_busy_gateway_costs_no_session(void)
{
	boot(true);
	online();
	struct lk_receipt r;
	lk_actuator_obey(&actuator, &(struct lk_command){.id = 1, .action = LK_UNLOCK, .duration = 10000}, board.now, &r);
	fake_pass(&board, 25000);
	lk_actuator_obey(&actuator, &(struct lk_command){.id = 2, .action = LK_UNLOCK, .duration = 10000}, board.now, &r);
	fake_pass(&board, 5000);
	(void)step();
	CHECK(sent() && strcmp(path, "/rd/ab") == 0);
	answer(LK_COAP_CODE(4, 29), NULL, NULL, 0);
	(void)step();
	CHECK(lk_node_online(&node));
	CHECK_EQ(board.level, 100);
	CHECK(!sent()); /* not at once */
	CHECK(step() > 0);
	(void)pass(2000);
	CHECK(sent() && strcmp(path, "/rd/ab") == 0);
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	CHECK(lk_node_idle(&node));
}

static void a_door_that_was_open_for_a_moment_is_told(void)
{
	static const char opened[] = "contact" "\x04\xf5", closed[] = "contact" "\x04\xf4";

	boot(true);
	actuator.contact = LK_CONTACT_OPEN; /* while there is no session */
	lk_node_report(&node, LK_REPORT_CONTACT | LK_REPORT_OPENED);
	actuator.contact = LK_CONTACT_CLOSED;
	lk_node_report(&node, LK_REPORT_CONTACT);
	online();
	CHECK(sent() && strcmp(path, "/report") == 0);
	CHECK(in_payload(opened) && in_payload(closed));
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	lk_node_report(&node, LK_REPORT_CONTACT);
	(void)step();
	CHECK(sent() && strcmp(path, "/report") == 0);
	CHECK(!in_payload(opened) && in_payload(closed));
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	actuator.contact = LK_CONTACT_OPEN;
	lk_node_report(&node, LK_REPORT_CONTACT | LK_REPORT_OPENED);
	(void)step();
	CHECK(sent() && in_payload(opened) && !in_payload(closed));
}

static void a_case_that_was_open_for_a_moment_is_told(void)
{
	static const char opened[] = "tamper" "\x04\xf5", closed[] = "tamper" "\x04\xf4";

	boot(false);
	lk_node_report(&node, LK_REPORT_TAMPER | LK_REPORT_TAMPERED); /* and node.tamper is false again */
	online();
	CHECK(sent() && in_payload(opened) && in_payload(closed));
}

static void a_report_that_may_have_come_late_is_told_again(void)
{
	boot(true);
	online();
	lk_node_report(&node, LK_REPORT_TAMPER);
	(void)step();
	CHECK(sent() && strcmp(path, "/report") == 0);
	(void)pass(LK_SCAN_WINDOW); /* the gateway keeps it as late, and nothing follows from it */
	(void)sent();
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	(void)pass(2000);
	CHECK(sent() && strcmp(path, "/report") == 0 && in_payload("tamper"));
	answer(LK_COAP_CHANGED, NULL, NULL, 0);
	(void)step();
	CHECK(lk_node_idle(&node));
}

static void all_reports_together_fit(void)
{
	boot(true);
	node.tamper = false;
	node.uptime = INT32_MAX;
	board.voltage = 65000;
	board.rssi = -128;
	online();
	board.now += 590000; /* the age is long as well; no registration comes between */
	node.renew = board.now + 1000;
	lk_node_report(&node, UINT8_MAX);
	(void)step();
	CHECK(sent() && strcmp(path, "/report") == 0);
	CHECK(in_payload("exit") && in_payload("boot") && in_payload("rssi"));
}

/* A gateway that is back is not kept waiting for the back-off when there is somebody at the door. */
static void a_tap_does_not_wait_for_the_back_off(void)
{
	boot(false);
	board.open_result = LK_EIO;
	(void)pass(600000);
	board.open_result = 0;
	node.at = board.now + 60000;
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)pass(100);
	CHECK(sent() && strcmp(path, "/scan") == 0);
	boot(false); /* nor for the jitter after a wake */
	node.at = board.now + 1000;
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)pass(100);
	CHECK(sent() && strcmp(path, "/scan") == 0);
}

static void a_tap_hastens_one_try_only(void)
{
	boot(false);
	board.open_result = LK_EIO;
	(void)pass(600000);
	board.opens = 0;
	node.at = board.now + 60000;
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)pass(LK_SCAN_WINDOW + 100);
	CHECK_EQ(board.opens, 1);
}

/* A press of the exit button that could not be told for a while is no excuse for a door that opened since. */
static void an_old_press_of_the_exit_button_is_not_told(void)
{
	boot(true);
	lk_node_report(&node, LK_REPORT_EXIT | LK_REPORT_CONTACT);
	online();
	CHECK(sent() && strcmp(path, "/report") == 0 && in_payload("exit") && in_payload("contact"));

	boot(true);
	board.net = false;
	lk_node_report(&node, LK_REPORT_EXIT | LK_REPORT_CONTACT);
	for (int i = 0; i < 300; i++) {
		(void)step();
		fake_pass(&board, 50);
	}
	board.net = true;
	online();
	CHECK(sent() && strcmp(path, "/report") == 0 && !in_payload("exit") && in_payload("contact"));
}

/* Asks for something at /act, with an Echo and a payload if there are any, takes the answer into asked, and returns its code. */
static uint8_t act(uint8_t method, const uint8_t *echo, const struct lk_command *c)
{
	static uint16_t mid;
	uint8_t b[LK_MESSAGE_MAX];
	struct lk_coap_out o;
	size_t cap;

	lk_coap_begin(&o, b, sizeof b, LK_COAP_CON, method, ++mid, (const uint8_t *)"gw", 2);
	lk_coap_option_path(&o, LK_COAP_URI_PATH, "act");
	if (c)
		lk_coap_option_uint(&o, LK_COAP_CONTENT_FORMAT, LK_FORMAT_CBOR);
	if (echo)
		lk_coap_option(&o, LK_COAP_ECHO, echo, LK_ECHO_LEN);
	uint8_t *p = lk_coap_payload(&o, &cap);
	int len = lk_coap_end(&o, c ? lk_command_encode(c, p, cap) : 0);
	CHECK(len > 0);
	(void)sent();
	fake_deliver(&board, b, (size_t)len);
	(void)step();
	CHECK(sent());
	return asked.code;
}

/* The Echo of the newest answer. */
static void take_echo(uint8_t echo[LK_ECHO_LEN])
{
	struct lk_coap_option o = {0};

	while (lk_coap_next(&asked, &o))
		if (o.number == LK_COAP_ECHO && o.len == LK_ECHO_LEN)
			memcpy(echo, o.value, LK_ECHO_LEN);
}

static void only_a_fresh_command_moves_the_relay(void)
{
	uint8_t echo[LK_ECHO_LEN] = {0};
	struct lk_command c = {.id = 7, .action = LK_UNLOCK, .duration = 500};

	boot(true);
	online();
	CHECK_EQ(act(LK_COAP_POST, NULL, &c), LK_COAP_UNAUTHORIZED);
	take_echo(echo);
	CHECK_EQ(board.level, 0);
	fake_pass(&board, LK_COMMAND_WINDOW + 1);
	CHECK_EQ(act(LK_COAP_POST, echo, &c), LK_COAP_UNAUTHORIZED); /* held back */
	CHECK_EQ(board.level, 0);
	take_echo(echo);
	CHECK_EQ(act(LK_COAP_POST, echo, &c), LK_COAP_CHANGED);
	CHECK_EQ(board.level, 100);

	/* Its ACK was lost, and its repeat came too late to be fresh: it was obeyed all the same, and moves nothing. */
	fake_pass(&board, LK_COMMAND_WINDOW + 1);
	(void)lk_actuator_poll(&actuator, board.now);
	CHECK_EQ(board.level, 0);
	CHECK_EQ(act(LK_COAP_POST, echo, &c), LK_COAP_CHANGED);
	struct lk_receipt r;
	CHECK(lk_receipt_parse(&r, asked.payload, asked.payload_len) == 0 && r.result == LK_DONE && r.state.id == 7);
	CHECK_EQ(board.level, 0);

	c.id = 8;
	CHECK_EQ(act(LK_COAP_POST, echo, &c), LK_COAP_UNAUTHORIZED);
	c.age = 700000;
	CHECK_EQ(act(LK_COAP_POST, echo, &c), LK_COAP_BAD_REQUEST);
	CHECK_EQ(board.level, 0);
}

/* Whatever the gateway does not do, the node waits and tries again: never deaf, never in a hurry. */
static void no_refusal_leaves_the_node_deaf_or_hurried(void)
{
	static const uint8_t codes[] = {LK_COAP_CODE(4, 0), LK_COAP_CODE(4, 1), LK_COAP_CODE(4, 3), LK_COAP_CODE(4, 4), LK_COAP_CODE(4, 29),
		LK_COAP_CODE(5, 3), LK_COAP_CREATED, LK_COAP_CHANGED, LK_COAP_CONTENT, 0 /* no answer */};

	for (size_t i = 0; i < sizeof codes; i++)
		for (int how = 0; how < 3; how++) {
			unsigned asks = 0, rounds = 0;
			boot(true);
			if (how > 0)
				online();
			if (how > 1)
				lk_node_report(&node, LK_REPORT_CONTACT);
			for (uint32_t gone = 0; gone < 600000; rounds++) {
				uint32_t due = step();
				if (sent()) {
					asks++;
					if (codes[i] != 0)
						answer(codes[i], NULL, NULL, 0);
				}
				due = due > 50 ? 50 : due;
				fake_pass(&board, due);
				gone += due;
			}
			CHECK(asks >= 8 && asks < 700);
			CHECK(rounds < 20000);
		}
}

/* The gateway's verdict comes on its own, the empty ACK before it was lost, and so is the node's ACK for it. */
static void a_verdict_on_its_own_is_taken_and_acknowledged(void)
{
	uint8_t b[LK_MESSAGE_MAX];
	struct lk_coap_out o;
	size_t cap;
	int verdict;

	boot(false);
	online();
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	(void)step();
	CHECK(sent() && strcmp(path, "/scan") == 0);
	lk_coap_begin(&o, b, sizeof b, LK_COAP_CON, LK_COAP_CHANGED, 0x4444, asked.token, asked.token_len);
	uint8_t *body = lk_coap_payload(&o, &cap);
	int len = lk_coap_end(&o, lk_verdict_encode(&(struct lk_verdict){.verdict = LK_GRANTED, .last = 1}, body, cap));
	for (int copy = 0; copy < 3; copy++) {
		fake_deliver(&board, b, (size_t)len);
		(void)step();
		CHECK(sent() && asked.type == LK_COAP_ACK && asked.code == LK_COAP_EMPTY && asked.mid == 0x4444);
		CHECK(lk_node_verdict(&node, &verdict) == (copy == 0) && verdict == LK_GRANTED);
	}
	(void)pass(5000);
	CHECK(!sent()); /* nothing is repeated */
	b[7]++; /* a token that was never used */
	fake_deliver(&board, b, (size_t)len);
	(void)step();
	CHECK(sent() && asked.type == LK_COAP_RST && asked.mid == 0x4444);
}

static void a_board_without_a_way_out_is_asked_again_and_again(void)
{
	boot(false);
	board.open_result = LK_EIO;
	unsigned rounds = pass(600000);
	CHECK(board.opens >= 8 && board.opens < 60);
	CHECK(rounds < 20000);
	board.open_result = LK_EAGAIN;
	board.opens = 0;
	(void)pass(120000);
	CHECK(board.opens > 600 && board.opens < 2500);
	board.open_result = 0;
	(void)pass(61000);
	CHECK(sent());
}

int main(void)
{
	a_network_that_was_away_for_weeks_is_used_when_it_is_back();
	a_session_lasts_for_months();
	a_verdict_that_comes_after_the_window_is_not_shown();
	nothing_is_asked_again_after_the_window();
	a_busy_gateway_is_left_alone_for_a_while();
	a_busy_gateway_costs_no_session();
	a_door_that_was_open_for_a_moment_is_told();
	a_case_that_was_open_for_a_moment_is_told();
	a_report_that_may_have_come_late_is_told_again();
	all_reports_together_fit();
	a_tap_does_not_wait_for_the_back_off();
	a_tap_hastens_one_try_only();
	an_old_press_of_the_exit_button_is_not_told();
	only_a_fresh_command_moves_the_relay();
	no_refusal_leaves_the_node_deaf_or_hurried();
	a_verdict_on_its_own_is_taken_and_acknowledged();
	a_board_without_a_way_out_is_asked_again_and_again();
	return check_end("node");
}
