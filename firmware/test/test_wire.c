/* What the vectors do not cover: values without an encoding, the length of each message, and the
 * values of a relay's state. */
#include "cbor.h"
#include "check.h"
#include "err.h"
#include "messages.h"

static void an_impossible_value_has_no_encoding(void)
{
	static const struct {
		int kind;
		union message m;
	} cases[] = {
		{SCAN, {.scan = {.uid_len = 4}}},
		{SCAN, {.scan = {.n = LK_COUNTER_MAX + 1, .uid_len = 4}}},
		{SCAN, {.scan = {.n = UINT64_MAX, .uid_len = 4}}},
		{SCAN, {.scan = {.n = 1}}},
		{SCAN, {.scan = {.n = 1, .uid_len = 5}}},
		{SCAN, {.scan = {.n = 1, .uid_len = 255}}},
		{ACT, {.act = {.action = LK_ON}}},
		{ACT, {.act = {.n = 1}}},
		{ACT, {.act = {.n = 1, .action = LK_LEVEL + 1}}},
		{ACT, {.act = {.n = 1, .action = LK_ON, .level = 1}}},
		{ACT, {.act = {.n = 1, .action = LK_LEVEL, .level = 101}}},
		{VERDICT, {.verdict = {LK_RETRY + 1, 0}}},
		{VERDICT, {.verdict = {LK_DENIED, LK_COUNTER_MAX + 1}}},
		{VERDICT, {.verdict = {LK_DENIED, UINT64_MAX}}},
		{COMMAND, {.command = {.action = LK_ON}}},
		{COMMAND, {.command = {.id = LK_COUNTER_MAX + 1, .action = LK_ON}}},
		{COMMAND, {.command = {.id = 1}}},
		{COMMAND, {.command = {.id = 1, .action = LK_TOGGLE}}},
		{COMMAND, {.command = {.id = 1, .action = LK_LOCK, .duration = 1}}},
		{COMMAND, {.command = {.id = 1, .action = LK_UNLOCK, .duration = LK_PULSE_MAX + 1}}},
		{COMMAND, {.command = {.id = 1, .action = LK_UNLOCK, .duration = UINT32_MAX}}},
		{COMMAND, {.command = {.id = 1, .action = LK_UNLOCK, .level = 1}}},
		{STATE, {.state = {.id = LK_COUNTER_MAX + 1}}},
		{STATE, {.state = {.contact = LK_CONTACT_OPEN + 1}}},
		{STATE, {.state = {.left = 1}}},
		{STATE, {.state = {.on = true, .left = LK_PULSE_MAX + 1}}},
		{STATE, {.state = {.level = 101}}},
		{RECEIPT, {.receipt = {.result = LK_DONE + 1}}},
		{RECEIPT, {.receipt = {.result = LK_DONE, .state = {.left = 1}}}},
		{RECEIPT, {.receipt = {.result = LK_DONE, .state = {.level = 101}}}},
	};
	uint8_t buf[LK_BODY_MAX];
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (message_encode(cases[i].kind, &cases[i].m, buf, sizeof buf) != LK_ERANGE) {
			fprintf(stderr, "case %zu has an encoding\n", i);
			CHECK(false);
		} else {
			check_done++;
		}
}

static void the_longest_message_has_the_declared_length(void)
{
	const struct lk_state s = {.id = LK_COUNTER_MAX,
		.on = true,
		.level = 100,
		.contact = LK_CONTACT_OPEN,
		.left = LK_PULSE_MAX,
		.obeyed = LK_COUNTER_MAX,
		.epoch = UINT32_MAX};
	uint8_t buf[LK_WIRE_MAX];
	CHECK_EQ(lk_state_encode(&s, buf, sizeof buf), LK_WIRE_MAX);
}

static void all_verdicts_have_the_same_length(void)
{
	uint8_t buf[LK_WIRE_MAX];
	const struct lk_verdict denied = {LK_DENIED, 70000}, granted = {LK_GRANTED, 70000},
							retry = {LK_RETRY, 70000};
	int n = lk_verdict_encode(&denied, buf, sizeof buf);
	CHECK(n > 0);
	CHECK_EQ(lk_verdict_encode(&granted, buf, sizeof buf), n);
	CHECK_EQ(lk_verdict_encode(&retry, buf, sizeof buf), n);
}

/* The state is true or false in CBOR, and nothing else. */
static void a_relay_is_on_or_off(void)
{
	uint8_t b[LK_WIRE_MAX];
	union message m;

	for (int kind = STATE; kind <= RECEIPT; kind++) {
		memset(&m, 0, sizeof m);
		int n = message_encode(kind, &m, b, sizeof b);
		CHECK(n > 0);
		uint8_t *on = memchr(b, LK_CBOR_FALSE, (size_t)n);
		CHECK(on != NULL);
		for (int v = 0; on && v < 256; v++) {
			*on = (uint8_t)v;
			CHECK_EQ(message_parse(kind, &m, b, (size_t)n),
				v == LK_CBOR_FALSE || v == LK_CBOR_TRUE ? 0 : LK_EMALFORMED);
		}
	}
}

int main(void)
{
	an_impossible_value_has_no_encoding();
	the_longest_message_has_the_declared_length();
	all_verdicts_have_the_same_length();
	a_relay_is_on_or_off();
	return check_end("wire");
}
