/* What a node does with the gateway's requests: which ones it obeys, which ones it refuses and with
 * which code. A refusal leaves the door shut. */
#include "check.h"
#include "played_gateway.h"

enum { RELAY_ON = 100 };

/* Brings the node online, opens its door for ten seconds by a command, and gets a fresh Echo. */
static void open_door(uint8_t echo[LK_ECHO_LEN])
{
	struct lk_command c = {.id = 1, .action = LK_UNLOCK, .duration = 10000};

	boot(true);
	bring_online();
	CHECK_EQ(request_act(LK_COAP_GET, NULL, NULL), LK_COAP_CONTENT);
	take_echo(echo);
	CHECK_EQ(request_act(LK_COAP_POST, echo, &c), LK_COAP_CHANGED);
	CHECK_EQ(board.level, RELAY_ON);
	take_echo(echo);
}

static void only_a_fresh_command_moves_the_relay(void)
{
	uint8_t echo[LK_ECHO_LEN] = {0};
	struct lk_command c = {.id = 7, .action = LK_UNLOCK, .duration = 500};

	boot(true);
	bring_online();
	CHECK_EQ(request_act(LK_COAP_POST, NULL, &c), LK_COAP_UNAUTHORIZED);
	take_echo(echo);
	CHECK_EQ(board.level, 0);
	fake_pass_time(&board, LK_COMMAND_WINDOW + 1);
	CHECK_EQ(request_act(LK_COAP_POST, echo, &c), LK_COAP_UNAUTHORIZED); /* delayed for too long */
	CHECK_EQ(board.level, 0);
	take_echo(echo);
	CHECK_EQ(request_act(LK_COAP_POST, echo, &c), LK_COAP_CHANGED);
	CHECK_EQ(board.level, 100);

	/* The ACK was lost, and the retransmission is not fresh any more. The command was obeyed, so it
	 * is answered again and moves nothing. */
	fake_pass_time(&board, LK_COMMAND_WINDOW + 1);
	(void)lk_actuator_poll(&actuator, board.now);
	CHECK_EQ(board.level, 0);
	CHECK_EQ(request_act(LK_COAP_POST, echo, &c), LK_COAP_CHANGED);
	struct lk_receipt r;
	CHECK(lk_receipt_parse(&r, asked.payload, asked.payload_len) == 0 && r.result == LK_DONE &&
		  r.state.id == 7);
	CHECK_EQ(board.level, 0);

	c.id = 8;
	CHECK_EQ(request_act(LK_COAP_POST, echo, &c), LK_COAP_UNAUTHORIZED);
	c.age = 700000;
	CHECK_EQ(request_act(LK_COAP_POST, echo, &c), LK_COAP_BAD_REQUEST);
	CHECK_EQ(board.level, 0);
}

/* A malformed command may have been meant as "lock", so the door is shut with any Echo. */
static void a_malformed_command_shuts_the_door(void)
{
	static const uint8_t broken[] = {0xa1, 0x00}, on[] = {0xa2, 0x00, 0x07, 0x01, 0x02};
	uint8_t echo[LK_ECHO_LEN], lamp[LK_WIRE_MAX];
	int n = lk_command_encode(&(struct lk_command){.id = 9, .action = LK_ON}, lamp, sizeof lamp);

	open_door(echo);
	CHECK_EQ(send_request(&(struct request){
				 .method = LK_COAP_POST, .echo = echo, .payload = broken, .n = sizeof broken}),
		LK_COAP_BAD_REQUEST);
	CHECK_EQ(board.level, 0);
	CHECK_EQ(actuator.level, 0);
	open_door(echo);
	CHECK_EQ(send_request(&(struct request){.method = LK_COAP_POST, .payload = broken, .n = sizeof broken}),
		LK_COAP_BAD_REQUEST);
	CHECK_EQ(board.level, 0);
	open_door(echo); /* an action that only a lamp has */
	CHECK(n > 0);
	struct request r = {.method = LK_COAP_POST, .echo = echo, .payload = lamp, .n = (size_t)n};
	CHECK_EQ(send_request(&r), LK_COAP_BAD_REQUEST);
	CHECK_EQ(board.level, 0);
	open_door(echo); /* an action that does not exist */
	r = (struct request){.method = LK_COAP_POST, .echo = echo, .payload = on, .n = sizeof on};
	CHECK_EQ(send_request(&r), LK_COAP_BAD_REQUEST);
	CHECK_EQ(board.level, 0);
}

/* A GET returns the present state. */
static void a_get_returns_the_state(void)
{
	uint8_t echo[LK_ECHO_LEN];
	struct lk_state s;

	open_door(echo);
	actuator.contact = LK_CONTACT_OPEN;
	fake_pass_time(&board, 4000);
	CHECK_EQ(request_act(LK_COAP_GET, NULL, NULL), LK_COAP_CONTENT);
	CHECK_EQ(option_uint(LK_COAP_CONTENT_FORMAT), LK_FORMAT_CBOR);
	CHECK_EQ(lk_state_parse(&s, asked.payload, asked.payload_len), 0);
	CHECK(s.id == 1 && s.on && s.left == 6000 && s.contact == LK_CONTACT_OPEN);
	CHECK_EQ(board.level, RELAY_ON); /* nothing moved */
}

/* The resources of a node (RFC 6690 §4): a lock has one, a reader has none. */
static void the_links_are_at_well_known_core(void)
{
	static const char *const not_there[] = {"core", ".well-known", ".well-known/core/x", "x/core",
		".well-known/act", ".well-known/x/core", "x/.well-known/core", ".well-known/cor", ".well-known/coree",
		".well-know/core", "act/core", "core/core", "act/act", "ac", "acts", "abc", ""};
	struct request links = {.method = LK_COAP_GET, .path = ".well-known/core"}, wrong = links,
				   other = {.method = LK_COAP_GET};
	uint8_t want[LK_WIRE_MAX * 4];

	boot(true);
	bring_online();
	CHECK_EQ(send_request(&links), LK_COAP_CONTENT);
	CHECK_EQ(option_uint(LK_COAP_CONTENT_FORMAT), LK_FORMAT_LINKS);
	int n = lk_actuator_write_links(&actuator, want, sizeof want);
	CHECK(n > 0 && asked.payload_len == (size_t)n && memcmp(asked.payload, want, (size_t)n) == 0);
	links.accept = LK_FORMAT_LINKS;
	CHECK_EQ(send_request(&links), LK_COAP_CONTENT);
	wrong.accept = LK_FORMAT_CBOR;
	CHECK_EQ(send_request(&wrong), LK_COAP_NOT_ACCEPTABLE);
	wrong = (struct request){.method = LK_COAP_POST, .path = ".well-known/core"};
	CHECK_EQ(send_request(&wrong), LK_COAP_NOT_ALLOWED);
	for (size_t i = 0; i < sizeof not_there / sizeof *not_there; i++) {
		other.path = not_there[i];
		CHECK_EQ(send_request(&other), LK_COAP_NOT_FOUND);
	}
	boot(false);
	bring_online();
	CHECK_EQ(send_request(&links), LK_COAP_CONTENT);
	CHECK_EQ(asked.payload_len, 0);
	CHECK_EQ(option_uint(LK_COAP_CONTENT_FORMAT), UINT32_MAX);
}

/* Uri-Host, Uri-Port and Uri-Query are critical options that a node knows and ignores. */
static void the_host_the_port_and_a_query_change_nothing(void)
{
	static const uint16_t known[] = {LK_COAP_URI_HOST, LK_COAP_URI_PORT, LK_COAP_URI_QUERY};

	boot(true);
	bring_online();
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		CHECK_EQ(send_request(&(struct request){.method = LK_COAP_GET, .extra = known[i]}), LK_COAP_CONTENT);
}

/* RFC 7252 §5.4.1: odd numbers are critical. An even one is elective, and changes nothing. */
static void a_command_with_an_unknown_critical_option_is_not_obeyed(void)
{
	static const uint16_t critical[] = {1, 5, 9, 13, 19, 23, 27, 29, 35, 39, 65, 101, 251, 253, 1009, 2049,
		10001, 65001},
						  elective[] = {2, 4, 6, 8, 10, 14, 16, 20, 28, 60, 250, 254, 258, 292, 65000};
	uint8_t echo[LK_ECHO_LEN], b[LK_WIRE_MAX];

	boot(true);
	bring_online();
	CHECK_EQ(request_act(LK_COAP_GET, NULL, NULL), LK_COAP_CONTENT);
	take_echo(echo);
	for (uint8_t i = 0; i < sizeof critical / sizeof *critical; i++) {
		int n = lk_command_encode(&(struct lk_command){.id = 1, .action = LK_UNLOCK}, b, sizeof b);
		CHECK(n > 0);
		CHECK_EQ(
			send_request(&(struct request){
				.method = LK_COAP_POST, .extra = critical[i], .echo = echo, .payload = b, .n = (size_t)n}),
			LK_COAP_BAD_OPTION);
		char why[16];
		int len = snprintf(why, sizeof why, "option %d", critical[i]);
		/* the payload is the reason and not a receipt */
		CHECK(asked.payload_len == (size_t)len && memcmp(asked.payload, why, (size_t)len) == 0);
		CHECK_EQ(board.level, 0);
		CHECK_EQ(actuator.last, 0);
	}
	for (uint8_t i = 0; i < sizeof elective / sizeof *elective; i++) {
		int n = lk_command_encode(&(struct lk_command){.id = 2u + i, .action = LK_UNLOCK}, b, sizeof b);
		CHECK(n > 0);
		CHECK_EQ(
			send_request(&(struct request){
				.method = LK_COAP_POST, .extra = elective[i], .echo = echo, .payload = b, .n = (size_t)n}),
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
	bring_online();
	for (int i = 0; i < LK_ECHO_KEEP; i++) {
		CHECK_EQ(request_act(LK_COAP_GET, NULL, NULL), LK_COAP_CONTENT);
		take_echo(echoes[i]);
	}
	lk_node_report(&node, LK_REPORT_TAMPER); /* when the gateway resets a report, the session ends */
	(void)step();
	CHECK(take_sent());
	memcpy(b, reset, 2);
	b[2] = (uint8_t)(asked.mid >> 8);
	b[3] = (uint8_t)asked.mid;
	deliver(b, sizeof b);
	(void)step();
	CHECK(!lk_node_is_online(&node));
	for (int i = 0; i < 50 && !take_sent(); i++) {
		uint32_t due = step();
		fake_pass_time(&board, due > 20 ? 20 : due);
	}
	CHECK_EQ(node.link.sessions, 2);
	CHECK(strcmp(path, "/rd") == 0);
	answer(LK_COAP_CREATED, "rd/cd", NULL, 0);
	(void)step();
	for (int i = 0; i < LK_ECHO_KEEP; i++) {
		CHECK_EQ(request_act(LK_COAP_POST, echoes[i], &(struct lk_command){.id = 20, .action = LK_UNLOCK}),
			LK_COAP_UNAUTHORIZED);
		CHECK_EQ(board.level, 0);
	}
}

int main(void)
{
	a_get_returns_the_state();
	the_links_are_at_well_known_core();
	the_host_the_port_and_a_query_change_nothing();
	only_a_fresh_command_moves_the_relay();
	a_malformed_command_shuts_the_door();
	a_command_with_an_unknown_critical_option_is_not_obeyed();
	no_echo_outlives_its_session();
	return check_end("serve");
}
