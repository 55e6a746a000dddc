/* The image of a reader on mains power: cards, what its light says, and what it says without
 * settings. */
#include "reader.h"

#include "err.h"
#include "mfrc522_model.h"

#define IMAGE struct lk_reader
#define ROLE lk_role_reader
#define SEED NULL
#include "played_app.h"

static const uint8_t card[4] = {0x0a, 0x1b, 0x2c, 0x3d}, other[4] = {0x11, 0x22, 0x33, 0x44};

static struct mfrc522_model chip;

static int chip_spi(void *ctx, const uint8_t *tx, uint8_t *rx, size_t n)
{
	mfrc522_model_spi(ctx, tx, rx, n);
	return 0;
}

static void chip_reset(void *ctx, bool held)
{
	(void)ctx;
	mfrc522_model_reset(&chip, held);
}

static void boot(void)
{
	board_of("reader");
	mfrc522_model_init(&chip);
	board.spi = chip_spi;
	board.spi_ctx = &chip;
	board.port.chip_reset = chip_reset;
}

static void a_card_is_asked_about_and_the_light_says_the_verdict(void)
{
	static const struct {
		uint8_t verdict;
		enum lk_led_sign sign;
	} all[] = {{LK_GRANTED, LK_LED_GRANTED}, {LK_DENIED, LK_LED_DENIED}, {LK_RETRY, LK_LED_RETRY}};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		boot();
		start();
		CHECK_EQ(unit->node.served.actuator, NULL);
		(void)step();
		CHECK_EQ(app.led.base, LK_LED_CONNECTING);
		online();
		CHECK_EQ(app.led.base, LK_LED_ONLINE);
		CHECK(!app.led.showing);
		gateway.verdict = all[i].verdict;
		mfrc522_model_card(&chip, card, sizeof card);
		pass(400);
		CHECK_EQ(gateway.scans, 1);
		bool in = false;
		for (size_t at = 0; at + sizeof card <= gateway.scan_n; at++)
			in |= memcmp(gateway.scan + at, card, sizeof card) == 0;
		CHECK(in);
		CHECK(app.led.showing);
		CHECK_EQ(app.led.once, all[i].sign);
		CHECK(board.leds > 0);
		pass(3000);
		CHECK(!app.led.showing);
		CHECK_EQ(gateway.scans, 1); /* the card still lies there */
	}
}

static void a_card_while_another_waits_is_refused_by_the_light(void)
{
	boot();
	start();
	online();
	gateway.gone = true;
	mfrc522_model_card(&chip, card, sizeof card);
	pass(400);
	CHECK(unit->node.intent.active);
	CHECK(!app.led.showing);
	mfrc522_model_card(&chip, other, sizeof other);
	pass(400);
	CHECK(app.led.showing);
	CHECK_EQ(app.led.once, LK_LED_RETRY);
	CHECK(memcmp(unit->node.intent.uid, card, sizeof card) == 0);
}

static void a_chip_that_does_not_answer_is_shown(void)
{
	boot();
	start();
	online();
	mfrc522_model_break(&chip, MFRC522_MODEL_DEAD);
	pass(60000);
	CHECK(mine.chip.dead);
	CHECK_EQ(app.led.base, LK_LED_FAULT);
}

static void without_settings_it_says_what_is_missing_and_does_nothing(void)
{
	boot();
	board.now = 0;
	fake_kv_put(&board, "secret", NULL, 0);
	start();
	CHECK(!unit->ready);
	CHECK(printed("secret is missing, or no good\r\n"));
	CHECK(logged("not provisioned: type help 0\n"));
	CHECK(!logged("flash cannot be read"));
	pass(1000);
	CHECK_EQ(board.spis, 0);
	CHECK_EQ(chip.resets, 0);
	CHECK_EQ(board.opens, 0);
	CHECK_EQ(board.joins, 0);
	CHECK_EQ(app.led.base, LK_LED_BARE);
	CHECK(board.leds > 0);
}

static void a_setting_that_is_no_good_is_named(void)
{
	boot();
	fake_kv_text(&board, "device", "no\x01good");
	start();
	CHECK(!unit->ready);
	CHECK(printed("device is missing, or no good\r\n"));
}

static void the_settings_of_another_role_are_not_used(void)
{
	boot();
	fake_kv_text(&board, "kind", "lock");
	start();
	CHECK(!unit->ready);
	CHECK(logged("these settings are not a reader's 0\n"));
	CHECK(logged("not provisioned: type help 0\n"));
}

static int (*read_flash)(void *, const char *, uint8_t *, size_t);
static int without_password(void *ctx, const char *key, uint8_t *b, size_t cap)
{
	return strcmp(key, "password") == 0 ? LK_EIO : read_flash(ctx, key, b, cap);
}

static void flash_that_cannot_be_read_is_not_believed(void)
{
	boot();
	board.kv_get_fails = true;
	start();
	CHECK(!unit->ready);
	CHECK(logged("flash cannot be read 0\n"));
	boot();
	read_flash = board.port.kv_get;
	board.port.kv_get = without_password; /* all that must be there is */
	start();
	CHECK(!unit->ready);
	CHECK(logged("flash cannot be read 0\n"));
}

static void it_says_that_it_started_and_joins_its_network(void)
{
	boot();
	board.boot = LK_BOOT_WATCHDOG;
	start();
	CHECK(unit->ready);
	CHECK(logged("latchkey reader, started for reason 2\n"));
	CHECK(!logged("counter lost"));
	CHECK(!logged("flash cannot be read"));
	CHECK_EQ(board.joins, 0);
	CHECK(strcmp(unit->draft.settings.identity, "lk-0123456789") == 0); /* the console shows it */
	boot();
	fake_kv_text(&board, "ssid", "x");
	fake_kv_text(&board, "password", "correct horse");
	fake_kv_text(&board, "counter", "what is no counter");
	start();
	CHECK(logged("counter lost: the gateway tells it again 0\n"));
	CHECK_EQ(board.joins, 1);
	CHECK(strcmp(board.ssid, "x") == 0 && strcmp(board.password, "correct horse") == 0);
}

static void what_it_is_and_how_it_is_goes_to_the_gateway(void)
{
	boot();
	start();
	CHECK(unit->node.report.wanted & LK_REPORT_BOOT);
	CHECK(!(unit->node.report.wanted & LK_REPORT_HEALTH));
	(void)step();
	CHECK(unit->node.report.wanted & LK_REPORT_HEALTH);
	CHECK_EQ(unit->node.registration.lifetime, LK_LIFETIME);
	uint32_t began = board.now;
	online();
	CHECK(told("boot") && told("supply") && told("tamper"));
	forget_told();
	pass(began + 599999 - board.now);
	CHECK(!told("supply") && !told("tamper"));
	CHECK(!(unit->node.report.wanted & LK_REPORT_HEALTH));
	pass(1);
	CHECK(unit->node.report.wanted & LK_REPORT_HEALTH || unit->node.report.sending & LK_REPORT_HEALTH);
	pass(100);
	CHECK(told("supply"));
	forget_told();
	pass(599000);
	CHECK(!told("supply"));
}

static void it_looks_at_the_console_20_times_a_second_and_feeds_the_watchdog(void)
{
	boot();
	start();
	online();
	unsigned feeds = board.feeds;
	(void)step();
	CHECK_EQ(board.feeds, feeds + 1);
	board.typed = "\0\r\nshow\n"; /* a NUL, as a line makes that is plugged in */
	board.typed_n = 8;
	fake_clear(&board);
	(void)step();
	CHECK_EQ(board.typed_n, 0);
	CHECK(printed("lk-0123456789"));
}

/* An image of another role on a lock's board keeps the door shut. */
static void its_output_is_off_before_anything_else(void)
{
	boot();
	board.level = 100;
	start();
	CHECK_EQ(board.level, 0);
	CHECK_EQ(board.output_n, 1);
	CHECK(board.outputs[0].level == 0 && board.outputs[0].ms == 0);
}

int main(void)
{
	its_output_is_off_before_anything_else();
	a_card_is_asked_about_and_the_light_says_the_verdict();
	a_card_while_another_waits_is_refused_by_the_light();
	a_chip_that_does_not_answer_is_shown();
	without_settings_it_says_what_is_missing_and_does_nothing();
	a_setting_that_is_no_good_is_named();
	the_settings_of_another_role_are_not_used();
	flash_that_cannot_be_read_is_not_believed();
	it_says_that_it_started_and_joins_its_network();
	what_it_is_and_how_it_is_goes_to_the_gateway();
	it_looks_at_the_console_20_times_a_second_and_feeds_the_watchdog();
	return check_end("app_reader");
}
