/* The image of a lamp with a built-in key. */
#define LK_IDENTITY "lk-5555555555"
#define LK_SECRET "55555555555555555555555555"
#define LK_GATEWAY "192.0.2.5:5684"
#define LK_KIND "lamp"
#define LK_DEVICE "porch"
#define LK_TARGETS ""
#include "bundle.h"
#include "lamp.h"

#define IMAGE struct lk_lamp
#define ROLE lk_role_lamp
#define SEED LK_SEED
#include "played_app.h"

static void flash_empty(void)
{
	set_up_board("lamp");
	memset(board.kv, 0, sizeof board.kv);
}

static void with_an_empty_flash_the_built_in_key_is_used(void)
{
	flash_empty();
	start();
	CHECK(unit->ready);
	CHECK(strcmp(unit->settings.identity, LK_IDENTITY) == 0);
	CHECK(strcmp(unit->draft.settings.device, "porch") == 0);
	set_up_board("lamp");
	start();
	CHECK(unit->ready);
	CHECK(strcmp(unit->settings.identity, "lk-0123456789") == 0);
}

/* Flash that cannot be read may hold another key, so the built-in one is not used. */
static void without_readable_flash_no_key_is_used(void)
{
	flash_empty();
	board.kv_get_fails = true;
	start();
	CHECK(!unit->ready);
	CHECK(logged("flash cannot be read 0\n"));
	set_up_board("lamp");
	fake_kv_put(&board, "secret", NULL, 0);
	start();
	CHECK(!unit->ready);
	CHECK(printed("secret is missing, or no good\r\n"));
}

static void a_lamp_also_ends_a_pulse_in_time(void)
{
	struct lk_receipt r;

	set_up_board("lamp");
	start();
	CHECK(mine.actuator.lamp);
	CHECK_EQ(unit->node.served.actuator, &mine.actuator);
	bring_online();
	most = 0;
	pass_time(5000);
	CHECK_EQ(most, 50); /* the console is read every 50 ms */
	lk_actuator_obey(
		&mine.actuator, &(struct lk_command){.id = 1, .action = LK_UNLOCK, .duration = 1000}, board.now, &r);
	CHECK_EQ(r.result, LK_DONE);
	pass_time(999);
	CHECK(mine.actuator.pulsing);
	CHECK_EQ(board.level, 100);
	CHECK_EQ(step(), 1);
	pass_time(1);
	CHECK(!mine.actuator.pulsing);
	CHECK_EQ(board.level, 0);
}

int main(void)
{
	with_an_empty_flash_the_built_in_key_is_used();
	without_readable_flash_no_key_is_used();
	a_lamp_also_ends_a_pulse_in_time();
	return check_end("app_lamp");
}
