/* The text of a refusal: when a node refuses a request, it names the option or the member that was
 * wrong (RFC 7252 §5.5.2). */
#include <stdlib.h>

#include "act.h"
#include "check.h"
#include "fake_port.h"
#include "node.h"
#include "serve.h"

static struct fake_port board;
static struct lk_settings settings;
static struct lk_counter counter;
static struct lk_actuator actuator;
static const struct lk_served served = {&lk_act, &actuator};
static struct lk_node node;

struct option {
	uint16_t number;
	const char *value;
};

/* Sends a request to a lock or a reader, and checks that the answer refuses it with that code and
 * text. */
static void refuses(bool lock, uint8_t method, const struct option *options, const char *body, size_t n,
	uint8_t code, const char *why)
{
	uint8_t b[LK_MESSAGE_MAX];
	struct lk_coap_out o;
	struct lk_coap m, a;
	size_t cap;

	fake_init(&board);
	lk_actuator_init(&actuator, &board.port, false);
	lk_node_init(&node, &board.port, &settings, &counter, lock ? &served : NULL);
	lk_coap_begin(&o, b, sizeof b, LK_COAP_CON, method, 7, (const uint8_t *)"t", 1);
	for (; options->value; options++)
		lk_coap_option(&o, options->number, (const uint8_t *)options->value, strlen(options->value));
	uint8_t *p = lk_coap_payload(&o, &cap);
	CHECK(n <= cap);
	memcpy(p, body, n);
	int len = lk_coap_end(&o, (int)n);
	CHECK(len > 0 && lk_coap_parse(&m, b, (size_t)len) == 0);

	len = lk_serve_request(&node.link, &node.served, &m);
	CHECK(len > 0 && lk_coap_parse(&a, node.link.answer, (size_t)len) == 0);
	CHECK_EQ(a.code, code);
	if (a.payload_len != strlen(why) || memcmp(a.payload, why, a.payload_len) != 0) {
		fprintf(stderr, "got %.*s, want %s\n", (int)a.payload_len, (const char *)a.payload, why);
		CHECK(false);
	}
	struct lk_coap_option f = {0};
	while (lk_coap_next(&a, &f))
		CHECK(f.number != LK_COAP_CONTENT_FORMAT); /* a diagnostic payload has no Content-Format */
	CHECK_EQ(board.level, 0);
}

#define COMMAND(bytes, code, why) refuses(true, LK_COAP_POST, act_cbor, bytes, sizeof bytes - 1, code, why)

static const struct option act_cbor[] = {
	{LK_COAP_URI_PATH, "act"}, {LK_COAP_CONTENT_FORMAT, "\x3c"}, {0, NULL}};

static void a_refused_request_names_its_option(void)
{
	static const struct option other[] = {{LK_COAP_URI_PATH, "door"}, {0, NULL}},
							   act[] = {{LK_COAP_URI_PATH, "act"}, {0, NULL}},
							   accept[] = {{LK_COAP_URI_PATH, "act"}, {LK_COAP_ACCEPT, "\x32"}, {0, NULL}},
							   json[] = {{LK_COAP_URI_PATH, "act"}, {LK_COAP_CONTENT_FORMAT, "\x32"},
								   {0, NULL}},
							   if_match[] = {{1, "x"}, {LK_COAP_URI_PATH, "act"}, {27, "\x06"}, {0, NULL}},
							   block1[] = {{LK_COAP_URI_PATH, "act"}, {27, "\x06"}, {0, NULL}},
							   large[] = {{LK_COAP_URI_PATH, "act"}, {65001, ""}, {0, NULL}};

	refuses(true, LK_COAP_GET, other, "", 0, LK_COAP_NOT_FOUND, "Uri-Path");
	refuses(false, LK_COAP_GET, act, "", 0, LK_COAP_NOT_FOUND, "Uri-Path");
	refuses(true, LK_COAP_CODE(0, 3), act, "", 0, LK_COAP_NOT_ALLOWED, "method");
	refuses(true, LK_COAP_GET, accept, "", 0, LK_COAP_NOT_ACCEPTABLE, "Accept");
	refuses(true, LK_COAP_POST, json, "{}", 2, LK_COAP_UNSUPPORTED_FORMAT, "Content-Format");
	refuses(true, LK_COAP_POST, act, "\xa0", 1, LK_COAP_UNSUPPORTED_FORMAT, "Content-Format");
	refuses(true, LK_COAP_GET, if_match, "", 0, LK_COAP_BAD_OPTION, "option 1");
	refuses(true, LK_COAP_POST, block1, "", 0, LK_COAP_BAD_OPTION, "option 27");
	refuses(true, LK_COAP_GET, large, "", 0, LK_COAP_BAD_OPTION, "option 65001");
}

static void a_refused_command_names_its_member(void)
{
	COMMAND("", LK_COAP_BAD_REQUEST, "payload");
	COMMAND("\x80", LK_COAP_BAD_REQUEST, "payload");
	COMMAND("\xa1\x04\x01", LK_COAP_BAD_REQUEST, "key 8"); /* missing */
	COMMAND("\xa1\x08\x01", LK_COAP_BAD_REQUEST, "key 4");
	COMMAND("\xa2\x04\x05\x08\x01", LK_COAP_BAD_REQUEST, "key 4"); /* toggle */
	COMMAND("\xa3\x04\x01\x08\x01\x09\x00", LK_COAP_BAD_REQUEST, "key 9");
	COMMAND("\xa3\x04\x02\x08\x01\x09\x01", LK_COAP_BAD_REQUEST, "key 9");
	COMMAND("\xa3\x04\x01\x05\x01\x08\x01", LK_COAP_BAD_REQUEST, "key 5");
	COMMAND("\xa3\x04\x01\x08\x01\x0f\x01", LK_COAP_BAD_REQUEST, "key 15"); /* unknown */
	COMMAND("\xa3\x04\x01\x08\x01\x0e\x00", LK_COAP_BAD_REQUEST, "key 14");
	COMMAND("\xa3\x04\x01\x08\x01\x0a\x01", LK_COAP_BAD_REQUEST, "key 10");
	COMMAND("\xa3\x04\x01\x08\x01\x18\x28\x01", LK_COAP_BAD_REQUEST, "key 40");
	COMMAND("\xa3\x04\x01\x08\x01\x18\x64\x01", LK_COAP_BAD_REQUEST, "key 100");
	COMMAND("\xa3\x04\x01\x08\x01\x18\xff\x01", LK_COAP_BAD_REQUEST, "key 255");
	COMMAND("\xa3\x04\x01\x08\x01\x19\x01\x00\x01", LK_COAP_BAD_REQUEST, "payload");
	COMMAND("\xa2\x04\x03\x08\x01", LK_COAP_BAD_REQUEST, "action"); /* on, for a lock */
	COMMAND("\xa3\x03\x1a\x00\x09\x2b\xa9\x04\x01\x08\x01", LK_COAP_BAD_REQUEST, "age"); /* 601001 */
	COMMAND("\xa2\x04\x01\x08\x01", LK_COAP_UNAUTHORIZED, "Echo");
}

/* Returns the key at which a command is malformed. It parses a copy of the exact size, so that the
 * sanitizer sees a read past the end. */
static uint8_t fault(const char *b, size_t n)
{
	uint8_t *copy = malloc(n + (n == 0));

	if (copy == NULL)
		return 0;
	memcpy(copy, b, n);
	uint8_t key = lk_command_find_fault(copy, n);
	free(copy);
	return key;
}

static void a_fault_names_the_key_of_the_wrong_member(void)
{
	static const char unlock[] = "\xa3\x04\x01\x08\x01\x09\x19\x01\xf4"; /* for 500 ms */
	/* the key of the fault for each number of bytes that are left */
	static const uint8_t cut[sizeof unlock - 1] = {0, 4, 4, 8, 8, 0, 9, 9, 9};

	for (size_t n = 0; n < sizeof cut; n++)
		CHECK_EQ(fault(unlock, n), cut[n]);
	/* each member is right, but not their number */
	CHECK_EQ(fault("\xa3\x04\x01\x08\x01", 5), 0);
	CHECK_EQ(fault("\xa3\x04\x01\x08\x01\x41\x00", 7), 0);         /* a key that is not a number */
	CHECK_EQ(fault("\xa3\x04\x01\x08\x01\x1f", 6), 0);
	CHECK_EQ(fault("\xa3\x04\x01\x08\x01\x18\xff\x01", 8), 255);
	CHECK_EQ(fault("\xa3\x04\x01\x08\x01\x19\x01\x01\x01", 9), 0); /* 257 is not key 1 */
}

int main(void)
{
	a_refused_request_names_its_option();
	a_refused_command_names_its_member();
	a_fault_names_the_key_of_the_wrong_member();
	return check_end("refusal");
}
