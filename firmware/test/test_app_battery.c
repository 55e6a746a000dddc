/* The battery reader's image: how long it stays awake. */
#include "battery.h"

#include "check.h"
#include "err.h"
#include "fake_port.h"

#define IMAGE struct lk_battery_reader
#define ROLE lk_role_battery_reader
#define SEED NULL
#include "image.h"

static struct fake_port board;

/* Starts the image and runs it until it sleeps. Returns how many ms it was awake. */
static uint32_t wake_up(enum lk_boot why, unsigned *rounds)
{
	fake_reboot(&board, why);
	board.sleeps = board.waited = 0;
	start_image(&board.port);
	for (*rounds = 0; board.sleeps == 0 && board.now < 120000; ++*rounds)
		lk_app_step(&app);
	lk_dtls_close(unit->node.link.dtls); /* deep sleep loses the heap */
	return board.now;
}

static void begin(void)
{
	fake_init(&board);
	fake_provision(&board, "reader", "lk-0123456789");
}

static void nothing_keeps_it_awake_for_long(void)
{
	for (int how = 0; how < 5; how++)
		for (int why = LK_BOOT_POWER; why <= LK_BOOT_WAKE; why++) {
			unsigned rounds;
			begin();
			board.net = how != 1;
			board.open_result = how == 2 ? LK_EIO : how == 3 ? LK_EAGAIN : 0;
			board.rtc_fails = how == 4;
			uint32_t ms = wake_up((enum lk_boot)why, &rounds);
			CHECK_EQ(board.sleeps, 1);
			CHECK_EQ(board.slept, 3600000);
			CHECK(ms >= 40000 && ms <= 41000);
			CHECK(rounds < 30000);
		}
}

int main(void)
{
	nothing_keeps_it_awake_for_long();
	return check_end("app_battery");
}
