/* The battery reader's image with a gateway that answers: when it goes to sleep. */
#include "battery.h"
#include "err.h"

#define IMAGE struct lk_battery_reader
#define ROLE lk_role_battery_reader
#define SEED NULL
#include "played_app.h"

static const uint8_t uid[4] = {0x0a, 0x1b, 0x2c, 0x3d};

static void wake_for(enum lk_boot why)
{
	board.boot = why;
	board.sleeps = 0;
	start();
}

static void it_waits_5_s_for_a_card(void)
{
	set_up_board("reader");
	wake_for(LK_BOOT_POWER);
	CHECK_EQ(unit->node.registration.lifetime, 14400);
	CHECK(unit->node.report.wanted & LK_REPORT_BOOT);
	CHECK(!logged("nothing kept"));
	CHECK_EQ(mine.reader.chip.state, UINT8_MAX); /* not set up yet */
	pass_time(4999);
	CHECK(lk_node_is_online(&unit->node) && lk_node_is_idle(&unit->node));
	CHECK_EQ(board.sleeps, 0);
	pass_time(1);
	CHECK_EQ(board.sleeps, 1);
	CHECK_EQ(board.slept, 3600000);
	CHECK(logged("asleep, bytes kept 0\n"));
}

/* After a wake the image looks for what it kept over sleep, after power-on it does not. */
static void what_is_kept_is_read_after_a_wake(void)
{
	for (int lost = 0; lost < 2; lost++) {
		set_up_board("reader");
		wake_for(LK_BOOT_POWER);
		pass_time(5000);
		CHECK_EQ(board.sleeps, 1);
		board.logged_n = 0;
		board.logged[0] = 0;
		if (lost)
			memset(board.rtc, 0, sizeof board.rtc);
		wake_for(LK_BOOT_WAKE);
		CHECK_EQ(logged("nothing kept over sleep 0\n"), lost);
		CHECK(!(unit->node.report.wanted & LK_REPORT_BOOT));
	}
}

static void after_a_verdict_it_stays_for_1200_ms(void)
{
	set_up_board("reader");
	wake_for(LK_BOOT_POWER);
	pass_time(2000);
	CHECK(lk_node_is_online(&unit->node));
	CHECK(lk_node_scan(&unit->node, uid, sizeof uid, board.now));
	while (!app.led.showing && board.now < 0x90000000 + 4000)
		pass_time(1);
	CHECK_EQ(app.led.once, LK_LED_GRANTED);
	CHECK_EQ(gateway.scans, 1);
	uint32_t shown = app.led.began;
	pass_time(shown + 1199 - board.now);
	CHECK_EQ(board.sleeps, 0);
	pass_time(1);
	CHECK_EQ(board.sleeps, 1);
}

/* It stays awake while it has something to report or no registration, but for 40 s at most. */
static void it_does_not_sleep_before_it_is_done(void)
{
	set_up_board("reader");
	wake_for(LK_BOOT_POWER);
	pass_time(4900);
	gateway.gone = true;
	CHECK(lk_node_scan(&unit->node, uid, sizeof uid, board.now));
	pass_time(1000);
	CHECK(lk_node_is_online(&unit->node) && !lk_node_is_idle(&unit->node));
	CHECK_EQ(board.sleeps, 0);

	set_up_board("reader");
	clear_handshake = LK_EAGAIN;
	wake_for(LK_BOOT_POWER);
	unit->node.report.wanted = 0;
	for (int s = 0; s < 39; s++) {
		pass_time(1000);
		unit->node.report.wanted = 0; /* nothing to report: it waits only for the registration */
		CHECK_EQ(board.sleeps, 0);
	}
	pass_time(1000);
	CHECK_EQ(board.sleeps, 0);
	pass_time(1);
	CHECK_EQ(board.sleeps, 1);
}

int main(void)
{
	it_waits_5_s_for_a_card();
	what_is_kept_is_read_after_a_wake();
	after_a_verdict_it_stays_for_1200_ms();
	it_does_not_sleep_before_it_is_done();
	return check_end("app_wake");
}
