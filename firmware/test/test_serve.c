/* What a node does with the gateway's requests: which it obeys, which it refuses and with what code, and that a refusal leaves the door shut. */
#include "check.h"
#include "played_gateway.h"

enum { RELAY_ON = 100 };

/* The node is online, its door pulled for ten seconds by a command, and echo is fresh. */
static void pulled(uint8_t echo[LK_ECHO_LEN])
{
	struct lk_command c = {.id = 1, .action = LK_UNLOCK, .duration = 10000};

	boot(true);
	online();
	CHECK_EQ(act(LK_COAP_GET, NULL, NULL), LK_COAP_CONTENT);
	take_echo(echo);
	CHECK_EQ(act(LK_COAP_POST, echo, &c), LK_COAP_CHANGED);
	CHECK_EQ(board.level, RELAY_ON);
	take_echo(echo);
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

/* A command that cannot be read may have been a "lock": so the door is shut, whatever the Echo. */
static void a_malformed_command_shuts_the_door(void)
{
	static const uint8_t broken[] = {0xa1, 0x00}, on[] = {0xa2, 0x00, 0x07, 0x01, 0x02};
	uint8_t echo[LK_ECHO_LEN], lamp[LK_WIRE_MAX];
	int n = lk_command_encode(&(struct lk_command){.id = 9, .action = LK_ON}, lamp, sizeof lamp);

	pulled(echo);
	CHECK_EQ(request(&(struct request){.method = LK_COAP_POST, .echo = echo, .payload = broken, .n = sizeof broken}), LK_COAP_BAD_REQUEST);
	CHECK_EQ(board.level, 0);
	CHECK_EQ(actuator.level, 0);
	pulled(echo);
	CHECK_EQ(request(&(struct request){.method = LK_COAP_POST, .payload = broken, .n = sizeof broken}), LK_COAP_BAD_REQUEST);
	CHECK_EQ(board.level, 0);
	pulled(echo); /* what only a lamp can do */
	CHECK(n > 0);
	CHECK_EQ(request(&(struct request){.method = LK_COAP_POST, .echo = echo, .payload = lamp, .n = (size_t)n}), LK_COAP_BAD_REQUEST);
	CHECK_EQ(board.level, 0);
	pulled(echo); /* an action that does not exist */
	CHECK_EQ(request(&(struct request){.method = LK_COAP_POST, .echo = echo, .payload = on, .n = sizeof on}), LK_COAP_BAD_REQUEST);
	CHECK_EQ(board.level, 0);
}

/* RFC 7252 §5.4.1: odd numbers are critical. An even one is elective, and changes nothing. */
static void a_command_with_an_unknown_critical_option_is_not_obeyed(void)
{
	static const uint16_t critical[] = {1, 5, 9, 13, 19, 23, 27, 29, 35, 39, 65, 251, 253, 2049, 65001},
		elective[] = {2, 4, 6, 8, 10, 14, 16, 20, 28, 60, 250, 254, 258, 292, 65000};
	uint8_t echo[LK_ECHO_LEN], b[LK_WIRE_MAX];

	boot(true);
	online();
	CHECK_EQ(act(LK_COAP_GET, NULL, NULL), LK_COAP_CONTENT);
	take_echo(echo);
	for (uint8_t i = 0; i < sizeof critical / sizeof *critical; i++) {
		int n = lk_command_encode(&(struct lk_command){.id = 1, .action = LK_UNLOCK}, b, sizeof b);
		CHECK(n > 0);
		CHECK_EQ(request(&(struct request){.method = LK_COAP_POST, .extra = critical[i], .echo = echo, .payload = b, .n = (size_t)n}),
			LK_COAP_BAD_OPTION);
		CHECK(in_payload("option")); /* and no receipt */
		CHECK_EQ(board.level, 0);
		CHECK_EQ(actuator.last, 0);
	}
	for (uint8_t i = 0; i < sizeof elective / sizeof *elective; i++) {
		int n = lk_command_encode(&(struct lk_command){.id = 2u + i, .action = LK_UNLOCK}, b, sizeof b);
		CHECK(n > 0);
		CHECK_EQ(request(&(struct request){.method = LK_COAP_POST, .extra = elective[i], .echo = echo, .payload = b, .n = (size_t)n}),
			LK_COAP_CHANGED);
		CHECK_EQ(actuator.last, 2u + i);
		take_echo(echo);
	}
}

/* An Echo proves something only within the association that issued it. */
static void no_echo_outlives_its_session(void)
{
	static const uint8_t reset[] = {0x70, 0x00};
	uint8_t echoes[LK_ECHO_KEEP][LK_ECHO_LEN], b[4];

	boot(true);
	online();
	for (int i = 0; i < LK_ECHO_KEEP; i++) {
		CHECK_EQ(act(LK_COAP_GET, NULL, NULL), LK_COAP_CONTENT);
		take_echo(echoes[i]);
	}
	lk_node_report(&node, LK_REPORT_TAMPER); /* the gateway rejects a report, which ends the session */
	(void)step();
	CHECK(sent());
	memcpy(b, reset, 2);
	b[2] = (uint8_t)(asked.mid >> 8);
	b[3] = (uint8_t)asked.mid;
	deliver(b, sizeof b);
	(void)step();
	CHECK(!lk_node_online(&node));
	for (int i = 0; i < 50 && !sent(); i++) {
		uint32_t due = step();
		fake_pass(&board, due > 20 ? 20 : due);
	}
	CHECK_EQ(node.sessions, 2);
	CHECK(strcmp(path, "/rd") == 0);
	answer(LK_COAP_CREATED, "rd/cd", NULL, 0);
	(void)step();
	for (int i = 0; i < LK_ECHO_KEEP; i++) {
		CHECK_EQ(act(LK_COAP_POST, echoes[i], &(struct lk_command){.id = 20, .action = LK_UNLOCK}), LK_COAP_UNAUTHORIZED);
		CHECK_EQ(board.level, 0);
	}
}

int main(void)
{
	only_a_fresh_command_moves_the_relay();
	a_malformed_command_shuts_the_door();
	a_command_with_an_unknown_critical_option_is_not_obeyed();
	no_echo_outlives_its_session();
	return check_end("serve");
}
