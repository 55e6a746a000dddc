/* The question for a name, and what an answer may do: nothing but name addresses. */
#include "dns.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

static uint8_t question[LK_DNS_QUESTION], b[512];
static size_t question_n, n;

/* The longest name: labels as long as they may be. */
static const char longest[] = "a23456789012345678901234567890.b2345678901234567890123456.local";

static void the_question_is_that_of_the_standard(void)
{
	static const uint8_t want[] = "\x12\x34\0\0\0\1\0\0\0\0\0\0\2gw\5local\0\0\1\0\1";
	static const uint8_t server[] = "\xff\xff\1\0\0\1\0\0\0\0\0\0\1a\1b\3org\0\0\1\0\1";

	question_n = lk_dns_ask(question, "gw.local", 0x1234, false);
	CHECK(question_n == sizeof want - 1 && memcmp(question, want, question_n) == 0);
	CHECK(lk_dns_ask(question, "gw.local.", 0x1234, false) == question_n);
	CHECK(memcmp(question, want, question_n) == 0);
	question_n = lk_dns_ask(question, "a.b.org", 0xffff, true);
	CHECK(question_n == sizeof server - 1 && memcmp(question, server, question_n) == 0);
	CHECK_EQ(lk_dns_ask(question, longest, 0, false), LK_DNS_QUESTION);
	CHECK_EQ(sizeof longest - 1, LK_DNS_NAME);
}

static void begin_answer(uint8_t answers)
{
	question_n = lk_dns_ask(question, "gw.local", 0x1234, false);
	memcpy(b, question, question_n);
	n = question_n;
	b[2] = 0x84;
	b[7] = answers;
}

static void put(const void *bytes, size_t more)
{
	memcpy(b + n, bytes, more);
	n += more;
}

/* An answer by a name, of type and class, with size bytes of value. */
static void put_record(const char *name, size_t name_n, uint8_t type, uint16_t class, const char *value, uint8_t size)
{
	const uint8_t head[] = {0, type, (uint8_t)(class >> 8), (uint8_t)class, 0, 0, 0, 120, 0, size};

	put(name, name_n);
	put(head, sizeof head);
	put(value, size);
}

static void put_address(const char *value) { put_record("\xc0\x0c", 2, 1, 0x8001, value, 4); }

static void the_addresses_of_an_answer(void)
{
	struct lk_dns d;

	begin_answer(5);
	put_address("\xc0\xa8\1\2");
	put_record("\2gw\5local", 10, 1, 1, "\xc0\xa8\1\3", 4);     /* without a pointer */
	put_record("\2gw\xc0\x0f", 5, 28, 1, "0123456789abcdef", 16); /* IPv6 */
	put_record("\xc0\x0c", 2, 5, 1, "\1x\xc0\x0f", 4);            /* another name */
	put_address("\xc0\xa8\1\4");
	put_address("\xc0\xa8\1\5"); /* of another section */
	CHECK(lk_dns_begin(&d, b, n, question, question_n));
	CHECK_EQ(lk_dns_next(&d), 0xc0a80102);
	CHECK_EQ(lk_dns_next(&d), 0xc0a80103);
	CHECK_EQ(lk_dns_next(&d), 0xc0a80104);
	CHECK_EQ(lk_dns_next(&d), 0);
	CHECK_EQ(lk_dns_next(&d), 0);
}

/* Tells whether what is in b now answers the question. */
static bool answers(void)
{
	struct lk_dns d;

	return lk_dns_begin(&d, b, n, question, question_n);
}

static void only_an_answer_to_our_question_is_read(void)
{
	for (size_t i = 0; i < question_n; i++) {
		begin_answer(1);
		put_address("\xc0\xa8\1\2");
		b[i] ^= i == 2 ? 0x80 : 1;
		/* The other flags do not matter, nor do the numbers of records. */
		CHECK(answers() == (i == 3 || (i >= 6 && i < 12)));
	}
	begin_answer(0);
	for (n = 0; n < question_n; n++)
		CHECK(!answers());
	CHECK(answers());
}

static void a_cut_answer_is_read_to_the_last_whole_record(void)
{
	struct lk_dns d;

	begin_answer(2);
	put_address("\xc0\xa8\1\2");
	size_t first = n;
	put_record("\2gw\5local", 10, 1, 1, "\xc0\xa8\1\3", 4);
	for (size_t all = n, len = question_n; len <= all; len++) {
		uint8_t *exact = malloc(len); /* the sanitizer sees each byte past its end */

		memcpy(exact, b, len);
		CHECK(lk_dns_begin(&d, exact, len, question, question_n));
		CHECK_EQ(lk_dns_next(&d), len >= first ? 0xc0a80102 : 0);
		CHECK_EQ(lk_dns_next(&d), len == all ? 0xc0a80103 : 0);
		free(exact);
	}
}

static void malformed_records_end_it(void)
{
	struct lk_dns d;

	begin_answer(2);
	put_record("\xc0\x0c", 2, 1, 1, "\xc0\xa8\1\2\3", 5); /* too long for an address */
	put_record("\xc0\x0c", 2, 1, 3, "\xc0\xa8\1\3", 4);   /* another class */
	CHECK(answers() && lk_dns_begin(&d, b, n, question, question_n));
	CHECK_EQ(lk_dns_next(&d), 0);
	begin_answer(255);
	b[6] = 255;
	put("\x3f", 1); /* a label past the end */
	CHECK(lk_dns_begin(&d, b, n, question, question_n));
	CHECK_EQ(lk_dns_next(&d), 0);
	begin_answer(2);
	put_record("\xc0\x0c", 2, 1, 1, "\0\0\0\0", 4);
	put_address("\xc0\xa8\1\4");
	CHECK(lk_dns_begin(&d, b, n, question, question_n));
	CHECK_EQ(lk_dns_next(&d), 0);
}

int main(void)
{
	the_question_is_that_of_the_standard();
	the_addresses_of_an_answer();
	only_an_answer_to_our_question_is_read();
	a_cut_answer_is_read_to_the_last_whole_record();
	malformed_records_end_it();
	return check_end("dns");
}
