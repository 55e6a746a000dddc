/* CoAP messages: which are read, which are refused, and how they are written. */
#include "check.h"
#include "coap.h"
#include "err.h"

#define PARSE(m, ...) lk_coap_parse(m, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void reads_a_request(void)
{
	static const uint8_t b[] = {
		0x42, 0x02, 0x12, 0x34, 0xab, 0xcd, 0xb3, 'a', 'c', 't', 0x11, 60, 0xff, 0xa0};
	struct lk_coap m;
	struct lk_coap_option o = {0};

	CHECK_EQ(lk_coap_parse(&m, b, sizeof b), 0);
	CHECK_EQ(m.type, LK_COAP_CON);
	CHECK_EQ(m.code, LK_COAP_POST);
	CHECK_EQ(m.mid, 0x1234);
	CHECK(m.token_len == 2 && m.token[1] == 0xcd);
	CHECK(lk_coap_next(&m, &o));
	CHECK(o.number == LK_COAP_URI_PATH && o.len == 3 && memcmp(o.value, "act", 3) == 0);
	CHECK(lk_coap_next(&m, &o));
	CHECK_EQ(o.number, LK_COAP_CONTENT_FORMAT);
	CHECK_EQ(lk_coap_uint(&o), 60);
	CHECK(!lk_coap_next(&m, &o));
	CHECK(m.payload_len == 1 && m.payload[0] == 0xa0);
	CHECK_EQ(m.options_len, 6);
	memset(&m, 0xee, sizeof m); /* as if from an earlier message */
	CHECK_EQ(lk_coap_parse(&m, b, sizeof b - 2), 0);
	CHECK(m.payload_len == 0 && m.payload == NULL);
}

static void refuses_what_is_malformed(void)
{
	struct lk_coap m;

	CHECK_EQ(PARSE(&m, 0x40, 0, 0), LK_ENONE);                      /* shorter than a header */
	CHECK_EQ(PARSE(&m, 0x80, 1, 0, 1), LK_ENONE);                   /* another version */
	CHECK_EQ(PARSE(&m, 0x49, 1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9), LK_EMALFORMED); /* a token of nine bytes */
	CHECK_EQ(PARSE(&m, 0x42, 1, 0, 1, 1), LK_EMALFORMED);           /* a token cut short */
	CHECK_EQ(PARSE(&m, 0x41, 0, 0, 1, 1), LK_EMALFORMED);           /* an empty message with a token */
	CHECK_EQ(PARSE(&m, 0x40, 0, 0, 1, 0xff, 1), LK_EMALFORMED);     /* and with a payload */
	CHECK_EQ(PARSE(&m, 0x40, 1, 0, 1, 0xff), LK_EMALFORMED);        /* a marker without a payload */
	CHECK_EQ(PARSE(&m, 0x40, 1, 0, 1, 0xb3, 'a', 'c'), LK_EMALFORMED); /* a value cut short */
	CHECK_EQ(PARSE(&m, 0x40, 1, 0, 1, 0xf0), LK_EMALFORMED);        /* a reserved delta */
	CHECK_EQ(PARSE(&m, 0x40, 1, 0, 1, 0x0f), LK_EMALFORMED);        /* a reserved length */
	CHECK_EQ(PARSE(&m, 0x40, 1, 0, 1, 0xd0), LK_EMALFORMED);        /* an extended delta cut short */
	CHECK_EQ(PARSE(&m, 0x40, 1, 0, 1, 0xe0, 1), LK_EMALFORMED);
	CHECK_EQ(PARSE(&m, 0x40, 1, 0, 1, 0xe0, 0), LK_EMALFORMED);
	CHECK_EQ(PARSE(&m, 0x40, 1, 0, 1, 0x0e, 0xff, 0xff), LK_EMALFORMED); /* a length beyond the message */
	CHECK_EQ(PARSE(&m, 0x40, 1, 0, 1, 0xe0, 0xff, 0xff), LK_EMALFORMED); /* a number above 65535 */
	/* known, so that a Reset can name the message */
	CHECK(m.type == LK_COAP_CON && m.mid == 1);
	CHECK_EQ(PARSE(&m, 0x40, 0, 0, 7), 0);                          /* a ping */
	for (int code = 0; code < 256; code++) { /* classes 1, 6 and 7 are reserved (RFC 7252 §4.2) */
		int class = code / 32;
		CHECK_EQ(
			PARSE(&m, 0x40, (uint8_t)code, 0, 7), class == 1 || class == 6 || class == 7 ? LK_EMALFORMED : 0);
	}
}

static void an_integer_has_at_most_four_bytes(void)
{
	static const uint8_t b[] = {1, 2, 3, 4, 5};
	struct lk_coap_option o = {.value = b, .len = 0};

	CHECK_EQ(lk_coap_uint(&o), 0);
	o.len = 4;
	CHECK_EQ(lk_coap_uint(&o), 0x01020304);
	o.len = 5;
	CHECK_EQ(lk_coap_uint(&o), UINT32_MAX);
}

static void writes_what_it_reads(void)
{
	static const size_t lens[] = {0, 1, 12, 13, 14, 268, 269, 270, 524, 525, 600};
	static const uint16_t numbers[] = {1, 13, 14, 252, 282, 283, 600, 65535};
	static uint8_t b[8192], value[600];

	for (size_t i = 0; i < sizeof value; i++)
		value[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
		struct lk_coap_out out;
		struct lk_coap m;
		struct lk_coap_option o = {0};
		size_t cap;
		lk_coap_begin(&out, b, sizeof b, LK_COAP_NON, LK_COAP_GET, 0xbeef, value, 8);
		for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
			lk_coap_option(&out, numbers[k], value, lens[i]);
		lk_coap_payload(&out, &cap)[0] = 9;
		int n = lk_coap_end(&out, 1);
		CHECK(n > 0);
		CHECK_EQ(lk_coap_parse(&m, b, (size_t)n), 0);
		CHECK(m.type == LK_COAP_NON && m.mid == 0xbeef && m.token_len == 8);
		for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
			CHECK(lk_coap_next(&m, &o));
			CHECK(o.number == numbers[k] && o.len == lens[i] && memcmp(o.value, value, o.len) == 0);
		}
		CHECK(!lk_coap_next(&m, &o));
		CHECK(m.payload_len == 1 && m.payload[0] == 9);
	}
}

static void writes_integers_in_their_shortest_form(void)
{
	static const struct {
		uint32_t v;
		size_t len;
	} cases[] = {{0, 0}, {1, 1}, {255, 1}, {256, 2}, {65536, 3}, {0x12345678, 4}, {UINT32_MAX, 4}};
	uint8_t b[64];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct lk_coap_out out;
		struct lk_coap m;
		struct lk_coap_option o = {0};
		lk_coap_begin(&out, b, sizeof b, LK_COAP_CON, LK_COAP_GET, 1, NULL, 0);
		lk_coap_option_uint(&out, LK_COAP_ACCEPT, cases[i].v);
		int n = lk_coap_end(&out, 0);
		CHECK(n > 0 && lk_coap_parse(&m, b, (size_t)n) == 0 && lk_coap_next(&m, &o));
		CHECK(o.len == cases[i].len && lk_coap_uint(&o) == cases[i].v);
	}
}

static void a_path_is_one_option_for_each_part(void)
{
	uint8_t b[32];
	struct lk_coap_out out;
	struct lk_coap m;
	struct lk_coap_option o = {0};

	lk_coap_begin(&out, b, sizeof b, LK_COAP_CON, LK_COAP_POST, 1, NULL, 0);
	lk_coap_option_path(&out, LK_COAP_URI_PATH, "rd/4f2a");
	int n = lk_coap_end(&out, 0);
	CHECK(n > 0 && lk_coap_parse(&m, b, (size_t)n) == 0);
	CHECK(lk_coap_next(&m, &o) && o.len == 2 && memcmp(o.value, "rd", 2) == 0);
	CHECK(lk_coap_next(&m, &o) && o.len == 4 && memcmp(o.value, "4f2a", 4) == 0);
	CHECK(!lk_coap_next(&m, &o));
}

/* With a buffer of any size a message is either written whole or refused, and no byte is written
 * beyond the buffer. */
static void never_writes_beyond_its_buffer(int payload)
{
	uint8_t b[64], whole[64];
	int want = 0;

	for (size_t cap = sizeof whole; cap-- > 0;) {
		struct lk_coap_out out;
		size_t room;
		memset(b, 0xee, sizeof b);
		lk_coap_begin(&out, b, cap, LK_COAP_CON, LK_COAP_POST, 1, (const uint8_t *)"toke", 4);
		lk_coap_option_path(&out, LK_COAP_URI_PATH, "act/desk");
		lk_coap_option_uint(&out, LK_COAP_CONTENT_FORMAT, 60);
		uint8_t *p = lk_coap_payload(&out, &room);
		for (size_t i = 0; i < (size_t)payload && i < room; i++)
			p[i] = (uint8_t)i;
		int n = lk_coap_end(&out, payload);
		if (want == 0) {
			want = n;
			memcpy(whole, b, sizeof whole);
		}
		CHECK_EQ(n, cap >= (size_t)want ? want : LK_ESPACE);
		CHECK(n < 0 || memcmp(b, whole, (size_t)n) == 0);
		for (size_t i = cap; i < sizeof b; i++)
			CHECK_EQ(b[i], 0xee);
	}
}

static void options_out_of_order_fail(void)
{
	uint8_t b[32];
	struct lk_coap_out out;

	lk_coap_begin(&out, b, sizeof b, LK_COAP_CON, LK_COAP_POST, 1, NULL, 0);
	lk_coap_option_uint(&out, LK_COAP_ACCEPT, 60);
	lk_coap_option_uint(&out, LK_COAP_CONTENT_FORMAT, 60);
	CHECK_EQ(lk_coap_end(&out, 0), LK_ESPACE);
	lk_coap_begin(&out, b, sizeof b, LK_COAP_CON, LK_COAP_POST, 1, NULL, 0);
	CHECK_EQ(lk_coap_end(&out, LK_ERANGE), LK_ESPACE); /* an encoder that failed */
}

int main(void)
{
	reads_a_request();
	refuses_what_is_malformed();
	an_integer_has_at_most_four_bytes();
	writes_what_it_reads();
	writes_integers_in_their_shortest_form();
	a_path_is_one_option_for_each_part();
	never_writes_beyond_its_buffer(0);
	never_writes_beyond_its_buffer(1);
	never_writes_beyond_its_buffer(5);
	options_out_of_order_fail();
	return check_end("coap");
}
