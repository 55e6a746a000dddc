/* The image of a reader on mains power: how it sends cards, what its light shows, and what it
 * prints without settings. */
#include "reader.h"

#include "board_chip.h"
#include "err.h"

#define IMAGE struct lk_reader
#define ROLE lk_role_reader
#define SEED NULL
#include "played_app.h"

static const uint8_t card[4] = {0x0a, 0x1b, 0x2c, 0x3d}, other[4] = {0x11, 0x22, 0x33, 0x44};

static void boot(void)
{
	set_up_board("reader");
	fit_chip(&board);
}

static void a_card_is_sent_and_the_light_shows_the_verdict(void)
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
		bring_online();
		CHECK_EQ(app.led.base, LK_LED_ONLINE);
		CHECK(!app.led.showing);
		gateway.verdict = all[i].verdict;
		mfrc522_model_card(&chip, card, sizeof card);
		pass_time(400);
		CHECK_EQ(gateway.scans, 1);
		bool in = false;
		for (size_t at = 0; at + sizeof card <= gateway.scan_n; at++)
			in |= memcmp(gateway.scan + at, card, sizeof card) == 0;
		CHECK(in);
		CHECK(app.led.showing);
		CHECK_EQ(app.led.once, all[i].sign);
		CHECK(board.leds > 0);
		pass_time(3000);
		CHECK(!app.led.showing);
		CHECK_EQ(gateway.scans, 1); /* though the card still lies there */
	}
}

static void the_light_refuses_a_card_while_another_waits_for_its_verdict(void)
{
	boot();
	start();
	bring_online();
	gateway.gone = true;
	mfrc522_model_card(&chip, card, sizeof card);
	pass_time(400);
	CHECK(unit->node.intent.active);
	CHECK(!app.led.showing);
	mfrc522_model_card(&chip, other, sizeof other);
	pass_time(400);
	CHECK(app.led.showing);
	CHECK_EQ(app.led.once, LK_LED_RETRY);
	CHECK(memcmp(unit->node.intent.uid, card, sizeof card) == 0);
}

static void the_light_shows_that_the_chip_does_not_answer(void)
{
	boot();
	start();
	bring_online();
	mfrc522_model_break(&chip, MFRC522_MODEL_DEAD);
	pass_time(60000);
	CHECK(mine.chip.dead);
	CHECK_EQ(app.led.base, LK_LED_FAULT);
}

static void without_settings_it_prints_what_is_missing_and_does_nothing_else(void)
{
	boot();
	board.now = 0;
	fake_kv_put(&board, "secret", NULL, 0);
	start();
	CHECK(!unit->ready);
	CHECK(printed("secret is missing, or no good\r\n"));
	CHECK(logged("not provisioned: type help 0\n"));
	CHECK(!logged("flash cannot be read"));
	pass_time(1000);
	CHECK_EQ(board.spis, 0);
	CHECK_EQ(chip.resets, 0);
	CHECK_EQ(board.opens, 0);
	CHECK_EQ(board.joins, 0);
	CHECK_EQ(app.led.base, LK_LED_BARE);
	CHECK(board.leds > 0);
}

static void an_invalid_setting_is_named(void)
{
	boot();
	fake_kv_put_text(&board, "device", "no\x01good");
	start();
	CHECK(!unit->ready);
	CHECK(printed("device is missing, or no good\r\n"));
}

static void the_settings_of_another_role_are_not_used(void)
{
	boot();
	fake_kv_put_text(&board, "kind", "lock");
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

static void without_readable_flash_it_does_not_start(void)
{
	boot();
	board.kv_get_fails = true;
	start();
	CHECK(!unit->ready);
	CHECK(logged("flash cannot be read 0\n"));
	boot();
	read_flash = board.port.kv_get;
	board.port.kv_get = without_password; /* which is optional */
	start();
	CHECK(!unit->ready);
	CHECK(logged("flash cannot be read 0\n"));
}

static void it_logs_its_start_and_joins_its_network(void)
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
	fake_kv_put_text(&board, "ssid", "x");
	fake_kv_put_text(&board, "password", "correct horse");
	fake_kv_put_text(&board, "counter", "what is no counter");
	start();
	CHECK(logged("counter lost: the gateway tells it again 0\n"));
	CHECK_EQ(board.joins, 1);
	CHECK(strcmp(board.ssid, "x") == 0 && strcmp(board.password, "correct horse") == 0);
}

static void boot_health_and_tamper_are_reported_to_the_gateway(void)
{
	boot();
	start();
	CHECK(unit->node.report.wanted & LK_REPORT_BOOT);
	CHECK(!(unit->node.report.wanted & LK_REPORT_HEALTH));
	(void)step();
	CHECK(unit->node.report.wanted & LK_REPORT_HEALTH);
	CHECK_EQ(unit->node.registration.lifetime, LK_LIFETIME);
	uint32_t began = board.now;
	bring_online();
	CHECK(was_reported("boot") && was_reported("supply") && was_reported("tamper"));
	forget_reports();
	pass_time(began + 599999 - board.now);
	CHECK(!was_reported("supply") && !was_reported("tamper"));
	CHECK(!(unit->node.report.wanted & LK_REPORT_HEALTH));
	pass_time(1);
	CHECK(unit->node.report.wanted & LK_REPORT_HEALTH || unit->node.report.sending & LK_REPORT_HEALTH);
	pass_time(100);
	CHECK(was_reported("supply"));
	forget_reports();
	pass_time(599000);
	CHECK(!was_reported("supply"));
}

static void each_step_reads_the_console_and_feeds_the_watchdog(void)
{
	boot();
	start();
	bring_online();
	unsigned feeds = board.feeds;
	(void)step();
	CHECK_EQ(board.feeds, feeds + 1);
	board.typed = "\0\r\nshow\n"; /* plugging in a serial line can produce a NUL */
	board.typed_n = 8;
	fake_clear_printed(&board);
	(void)step();
	CHECK_EQ(board.typed_n, 0);
	CHECK(printed("lk-0123456789"));
}

/* On a lock's board an image of another role must keep the door shut too. */
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
	a_card_is_sent_and_the_light_shows_the_verdict();
	the_light_refuses_a_card_while_another_waits_for_its_verdict();
	the_light_shows_that_the_chip_does_not_answer();
	without_settings_it_prints_what_is_missing_and_does_nothing_else();
	an_invalid_setting_is_named();
	the_settings_of_another_role_are_not_used();
	without_readable_flash_it_does_not_start();
	it_logs_its_start_and_joins_its_network();
	boot_health_and_tamper_are_reported_to_the_gateway();
	each_step_reads_the_console_and_feeds_the_watchdog();
	return check_end("app_reader");
}
