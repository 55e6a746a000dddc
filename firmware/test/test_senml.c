#include "senml.h"
#include "check.h"
#include "err.h"

/* Writes a report with every kind of record into cap bytes. */
static int write_report(uint8_t *buf, size_t cap)
{
	struct lk_senml w;
	lk_senml_begin(&w, buf, cap, -250);
	lk_senml_add_flag(&w, "contact", true);
	lk_senml_add_number(&w, "voltage", "mV", 3287);
	lk_senml_add_text(&w, "boot", "wake");
	return lk_senml_end(&w);
}

static void a_report_has_the_bytes_that_the_gateway_expects(void)
{
	static const uint8_t want[] = {
		0x84, 0xa3, 0x00, 0x63, 'a', 'g', 'e', 0x01, 0x62, 'm', 's', 0x02, 0x38, 0xf9,
		0xa2, 0x00, 0x67, 'c', 'o', 'n', 't', 'a', 'c', 't', 0x04, 0xf5,
		0xa3, 0x00, 0x67, 'v', 'o', 'l', 't', 'a', 'g', 'e', 0x01, 0x62, 'm', 'V', 0x02, 0x19, 0x0c, 0xd7,
		0xa2, 0x00, 0x64, 'b', 'o', 'o', 't', 0x03, 0x64, 'w', 'a', 'k', 'e',
	};
	uint8_t buf[128];
	CHECK_EQ(write_report(buf, sizeof buf), sizeof want);
	CHECK(memcmp(buf, want, sizeof want) == 0);
}

static void too_little_room_is_an_error_and_nothing_is_written_beyond_it(void)
{
	uint8_t buf[128];
	int n = write_report(buf, sizeof buf);
	for (int cap = 0; cap < n; cap++) {
		memset(buf, 0x55, sizeof buf);
		CHECK_EQ(write_report(buf, (size_t)cap), LK_ESPACE);
		for (size_t i = (size_t)cap; i < sizeof buf; i++)
			CHECK_EQ(buf[i], 0x55);
	}
	CHECK_EQ(write_report(buf, (size_t)n), n);
}

/* Writes a report with that age and that many records. Returns the result of lk_senml_end. */
static int write_records(int count, int32_t age)
{
	uint8_t buf[512];
	struct lk_senml w;
	lk_senml_begin(&w, buf, sizeof buf, age);
	for (int i = 0; i < count; i++)
		lk_senml_add_flag(&w, "f", false);
	return lk_senml_end(&w);
}

static void a_report_has_one_to_sixteen_records(void)
{
	CHECK_EQ(write_records(0, 0), LK_ERANGE);
	CHECK_EQ(write_records(1, 0), 1 + 6);
	CHECK_EQ(write_records(16, 0), 1 + 16 * 6);
	CHECK_EQ(write_records(17, 0), LK_ERANGE);
	CHECK_EQ(write_records(300, 0), LK_ERANGE);
	/* the age counts as a record */
	CHECK(write_records(0, 1) > 0);
	CHECK(write_records(15, 1) > 0);
	CHECK_EQ(write_records(16, 1), LK_ERANGE);
}

static void a_text_has_at_most_64_bytes(void)
{
	char text[LK_SENML_TEXT + 2];
	uint8_t buf[128];
	struct lk_senml w;
	for (size_t n = LK_SENML_TEXT; n <= LK_SENML_TEXT + 1; n++) {
		memset(text, 't', n);
		text[n] = 0;
		lk_senml_begin(&w, buf, sizeof buf, 0);
		lk_senml_add_text(&w, "t", text);
		if (n > LK_SENML_TEXT)
			CHECK_EQ(lk_senml_end(&w), LK_ERANGE);
		else
			CHECK_EQ(lk_senml_end(&w), 1 + 1 + 3 + 1 + 2 + n);
	}
}

int main(void)
{
	a_report_has_the_bytes_that_the_gateway_expects();
	too_little_room_is_an_error_and_nothing_is_written_beyond_it();
	a_report_has_one_to_sixteen_records();
	a_text_has_at_most_64_bytes();
	return check_end("senml");
}
