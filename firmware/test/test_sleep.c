/* What is kept over deep sleep, and what is believed of it. */
#include "check.h"
#include "err.h"
#include "fake_port.h"
#include "sleep.h"

static struct fake_port board;
static struct lk_settings settings;
static struct lk_counter counter;
static struct lk_node node;
static struct lk_sleep kept;

static void begin(void)
{
	memset(&counter, 0, sizeof counter);
	(void)lk_counter_load(&counter, &board.port);
	lk_node_init(&node, &board.port, &settings, &counter, NULL);
}

static uint64_t next(void)
{
	uint64_t n = 0;

	CHECK_EQ(lk_counter_next(&counter, &board.port, &n), 0);
	return n;
}

static void the_counter_goes_on_within_its_block(void)
{
	fake_init(&board);
	begin();
	CHECK_EQ(next(), 1);
	CHECK_EQ(next(), 2);
	unsigned writes = board.kv_writes;
	CHECK_EQ(lk_sleep_save(&kept, &node), 0);
	fake_reboot(&board, LK_BOOT_WAKE);
	begin();
	CHECK_EQ(lk_sleep_load(&kept, &node), 0);
	CHECK_EQ(next(), 3);
	CHECK_EQ(board.kv_writes, writes);
	CHECK_EQ(node.saved_len, 0);
}

static void what_was_read_once_is_gone(void)
{
	fake_init(&board);
	begin();
	CHECK_EQ(lk_sleep_save(&kept, &node), 0);
	CHECK_EQ(lk_sleep_load(&kept, &node), 0);
	CHECK_EQ(lk_sleep_load(&kept, &node), LK_ENONE);
}

static void memory_that_lost_a_bit_is_not_believed(void)
{
	uint8_t good[LK_RTC_MAX];

	fake_init(&board);
	begin();
	CHECK_EQ(lk_sleep_save(&kept, &node), 0);
	memcpy(good, board.rtc, sizeof good);
	for (size_t i = 0; i < sizeof good; i++) {
		memcpy(board.rtc, good, sizeof good);
		board.rtc[i] ^= (uint8_t)(1 << i % 8);
		CHECK_EQ(lk_sleep_load(&kept, &node), LK_ENONE);
	}
	memset(board.rtc, 0, sizeof board.rtc);
	CHECK_EQ(lk_sleep_load(&kept, &node), LK_ENONE);
	memset(board.rtc, 0xff, sizeof board.rtc);
	CHECK_EQ(lk_sleep_load(&kept, &node), LK_ENONE);
}

static void memory_that_cannot_be_erased_is_not_used(void)
{
	fake_init(&board);
	begin();
	CHECK_EQ(next(), 1);
	CHECK_EQ(lk_sleep_save(&kept, &node), 0);
	board.rtc_fails = true;
	begin();
	CHECK(lk_sleep_load(&kept, &node) < 0);
	CHECK_EQ(next(), 1 + LK_COUNTER_BLOCK);
}

static void no_secret_stays_in_ram(void)
{
	fake_init(&board);
	begin();
	CHECK_EQ(lk_sleep_save(&kept, &node), 0);
	for (size_t i = 0; i < sizeof kept.rtc; i++)
		CHECK_EQ(kept.rtc[i], 0);
}

int main(void)
{
	the_counter_goes_on_within_its_block();
	what_was_read_once_is_gone();
	memory_that_lost_a_bit_is_not_believed();
	memory_that_cannot_be_erased_is_not_used();
	no_secret_stays_in_ram();
	return check_end("sleep");
}
