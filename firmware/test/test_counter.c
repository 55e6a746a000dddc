/* The counter of scans: flash holds the end of a block of 64, so that no number is ever used
 * twice. */
#include "check.h"
#include "counter.h"
#include "err.h"
#include "fake_port.h"

static struct fake_port board;

static void put_in_flash(uint64_t v)
{
	uint8_t b[8];
	for (int i = 0; i < 8; i++) {
		b[i] = (uint8_t)(v >> (56 - 8 * i));
	}
	fake_kv_put(&board, "counter", b, sizeof b);
}

static void the_first_counter_is_one_and_each_is_one_more(void)
{
	struct lk_counter c;
	uint64_t n = 0;
	fake_init(&board);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	CHECK_EQ(board.kv_writes, 0);
	for (unsigned i = 1; i <= 1000; i++) {
		CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
		CHECK_EQ(n, i);
		CHECK_EQ(board.kv_writes, (i + 63) / 64);
	}
	static const uint8_t want[8] = {0, 0, 0, 0, 0, 0, 4, 1}; /* 16 × 64 + 1 */
	CHECK(memcmp(fake_kv(&board, "counter"), want, sizeof want) == 0);
}

static void a_power_cut_skips_at_most_64_and_never_repeats(void)
{
	for (unsigned scans = 0; scans < 200; scans++) {
		for (int cut = 0; cut < 5; cut++) {
			struct lk_counter c;
			uint64_t n = 0, last = 0;
			fake_init(&board);
			CHECK_EQ(lk_counter_load(&c, &board.port), 0);
			board.kv_power = cut;
			for (unsigned i = 0; i < scans; i++) {
				if (lk_counter_take_next(&c, &board.port, &n) == 0) {
					last = n;
				}
			}
			fake_reboot(&board, LK_BOOT_POWER);
			CHECK_EQ(lk_counter_load(&c, &board.port), 0);
			CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
			CHECK(n > last && n - last <= 64);
		}
	}
}

static void no_counter_is_used_that_could_not_be_reserved_in_flash(void)
{
	struct lk_counter c;
	uint64_t n = 0;
	fake_init(&board);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	board.kv_power = 0;
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), LK_EIO);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), LK_EIO);
	CHECK_EQ(n, 0);
	board.kv_power = -1;
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
	CHECK_EQ(n, 1);
	board.kv_power = 0;
	for (unsigned i = 2; i <= 64; i++) {
		CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
	}
	CHECK_EQ(n, 64);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), LK_EIO);
	CHECK_EQ(n, 64);
}

static void the_counter_continues_after_the_number_that_the_gateway_saw(void)
{
	struct lk_counter c;
	uint64_t n = 0;
	fake_init(&board);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
	CHECK_EQ(lk_counter_catch_up(&c, &board.port, 1), 0); /* as after each verdict */
	CHECK_EQ(lk_counter_catch_up(&c, &board.port, 10), 0);
	CHECK_EQ(board.kv_writes, 1);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
	CHECK_EQ(n, 11);
	CHECK_EQ(lk_counter_catch_up(&c, &board.port, 64), 0);
	CHECK_EQ(board.kv_writes, 1);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
	CHECK_EQ(n, 65);
	CHECK_EQ(lk_counter_catch_up(&c, &board.port, 1000), 0);
	CHECK_EQ(board.kv_writes, 3);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
	CHECK_EQ(n, 1001);
	CHECK_EQ(board.kv_writes, 3);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	CHECK_EQ(c.next, 1065);
	CHECK_EQ(lk_counter_catch_up(&c, &board.port, c.next), 0); /* the gateway has seen the next number */
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
	CHECK_EQ(n, 1066);
	/* the gateway has seen the first number that is not reserved: it is not used again after a
	 * boot */
	CHECK_EQ(lk_counter_catch_up(&c, &board.port, c.reserved), 0);
	n = c.next - 1;
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	CHECK(c.next > n);
}

static void a_counter_never_goes_back(void)
{
	struct lk_counter c;
	uint64_t n = 0;
	fake_init(&board);
	put_in_flash(500);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	CHECK_EQ(lk_counter_catch_up(&c, &board.port, 3), 0);
	CHECK_EQ(lk_counter_catch_up(&c, &board.port, 0), 0);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
	CHECK_EQ(n, 500);
	CHECK_EQ(lk_counter_catch_up(&c, &board.port, 499), 0);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
	CHECK_EQ(n, 501);
}

static void the_number_that_the_gateway_saw_is_remembered_while_flash_fails(void)
{
	struct lk_counter c;
	uint64_t n = 0;
	fake_init(&board);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	board.kv_power = 0;
	CHECK_EQ(lk_counter_catch_up(&c, &board.port, 1000), LK_EIO);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), LK_EIO);
	board.kv_power = -1;
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
	CHECK_EQ(n, 1001);
}

static void after_invalid_flash_a_verdict_sets_the_counter(void)
{
	static const struct {
		const char *b;
		size_t n;
	} bad[] = {
		{"\0\0\0\0\0\0\0\0", 8}, {"\0\x20\0\0\0\0\0\x01", 8}, {"\xff\xff\xff\xff\xff\xff\xff\xff", 8},
		{"\x01\0\0\0\0\0\0\x01", 8}, {"\0\0\0\0\0\0\x01", 7}, {"\0\0\0\0\0\0\0\0\x01", 9},
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct lk_counter c;
		uint64_t n = 0;
		fake_init(&board);
		fake_kv_put(&board, "counter", bad[i].b, bad[i].n);
		CHECK_EQ(lk_counter_load(&c, &board.port), LK_EMALFORMED);
		CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
		CHECK_EQ(n, 1);
		CHECK_EQ(lk_counter_catch_up(&c, &board.port, 12345), 0);
		CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
		CHECK_EQ(n, 12346);
	}
	struct lk_counter c;
	fake_init(&board);
	board.kv_get_fails = true;
	CHECK_EQ(lk_counter_load(&c, &board.port), LK_EIO);
	CHECK_EQ(c.next, 1);
}

static void after_the_last_counter_there_is_none(void)
{
	struct lk_counter c;
	uint64_t n = 0;
	fake_init(&board);
	put_in_flash(LK_COUNTER_MAX - 1);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
	CHECK_EQ(n, LK_COUNTER_MAX);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), LK_ERANGE);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), LK_ERANGE);

	fake_init(&board);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	CHECK_EQ(lk_counter_catch_up(&c, &board.port, LK_COUNTER_MAX + 1), LK_ERANGE);
	CHECK_EQ(lk_counter_catch_up(&c, &board.port, UINT64_MAX), LK_ERANGE);
	CHECK_EQ(c.next, 1);
	CHECK_EQ(lk_counter_catch_up(&c, &board.port, LK_COUNTER_MAX), 0);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), LK_ERANGE);
}

static void deep_sleep_loses_no_counter_of_the_block(void)
{
	struct lk_counter c;
	uint8_t rtc[LK_COUNTER_EXPORT];
	uint64_t n = 0;
	fake_init(&board);
	for (unsigned i = 1; i <= 200; i++) {
		CHECK_EQ(lk_counter_load(&c, &board.port), 0);
		CHECK_EQ(i == 1 ? 0 : lk_counter_import(&c, rtc, sizeof rtc), 0);
		CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
		CHECK_EQ(n, i);
		CHECK_EQ(lk_counter_export(&c, rtc, sizeof rtc), LK_COUNTER_EXPORT);
	}
	CHECK_EQ(board.kv_writes, 4);
	CHECK_EQ(lk_counter_export(&c, rtc, sizeof rtc - 1), LK_ESPACE);
}

static void an_export_older_than_flash_is_refused(void)
{
	struct lk_counter c, was;
	uint8_t rtc[LK_COUNTER_EXPORT], other[LK_COUNTER_EXPORT];
	uint64_t n = 0;
	fake_init(&board);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
	CHECK_EQ(lk_counter_export(&c, rtc, sizeof rtc), LK_COUNTER_EXPORT);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	CHECK_EQ(lk_counter_take_next(&c, &board.port, &n), 0);
	CHECK_EQ(n, 65);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	CHECK_EQ(lk_counter_import(&c, rtc, sizeof rtc), LK_EMALFORMED);
	CHECK_EQ(c.next, 129);

	was = c;
	static const struct lk_counter wrong[] = {
		{0, 129}, {64, 129}, {130, 129}, {100, 128}, {100, 130}, {UINT64_MAX, 129}};
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		CHECK_EQ(lk_counter_export(&wrong[i], other, sizeof other), LK_COUNTER_EXPORT);
		CHECK_EQ(lk_counter_import(&c, other, sizeof other), LK_EMALFORMED);
		CHECK(c.next == was.next && c.reserved == was.reserved);
	}
	CHECK_EQ(lk_counter_import(&c, rtc, sizeof rtc - 1), LK_EMALFORMED);
	CHECK_EQ(lk_counter_import(&c, rtc, 0), LK_EMALFORMED);
	fake_init(&board);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	CHECK_EQ(lk_counter_export(&(struct lk_counter){0, 1}, other, sizeof other), LK_COUNTER_EXPORT);
	CHECK_EQ(lk_counter_import(&c, other, sizeof other), LK_EMALFORMED); /* there is no scan 0 */
}

/* Also before the first scan, and with a whole block left. */
static void every_counter_survives_deep_sleep(void)
{
	struct lk_counter c;
	uint8_t rtc[LK_COUNTER_EXPORT];

	fake_init(&board);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	CHECK_EQ(lk_counter_export(&c, rtc, sizeof rtc), LK_COUNTER_EXPORT);
	CHECK_EQ(lk_counter_import(&c, rtc, sizeof rtc), 0);
	CHECK_EQ(lk_counter_catch_up(&c, &board.port, 1000), 0);
	CHECK_EQ(lk_counter_export(&c, rtc, sizeof rtc), LK_COUNTER_EXPORT);
	CHECK_EQ(lk_counter_load(&c, &board.port), 0);
	CHECK_EQ(lk_counter_import(&c, rtc, sizeof rtc), 0);
	CHECK_EQ(c.next, 1001);
}

int main(void)
{
	the_first_counter_is_one_and_each_is_one_more();
	a_power_cut_skips_at_most_64_and_never_repeats();
	no_counter_is_used_that_could_not_be_reserved_in_flash();
	the_counter_continues_after_the_number_that_the_gateway_saw();
	a_counter_never_goes_back();
	the_number_that_the_gateway_saw_is_remembered_while_flash_fails();
	after_invalid_flash_a_verdict_sets_the_counter();
	after_the_last_counter_there_is_none();
	deep_sleep_loses_no_counter_of_the_block();
	an_export_older_than_flash_is_refused();
	every_counter_survives_deep_sleep();
	return check_end("counter");
}
