/* The image of a lamp, built with its key in it. */
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
	board_of("lamp");
	memset(board.kv, 0, sizeof board.kv);
}

static void an_empty_flash_leaves_the_key_that_is_built_in(void)
{
	flash_empty();
	start();
	CHECK(unit->ready);
	CHECK(strcmp(unit->settings.identity, LK_IDENTITY) == 0);
	CHECK(strcmp(unit->draft.settings.device, "porch") == 0);
	board_of("lamp");
	start();
	CHECK(unit->ready);
	CHECK(strcmp(unit->settings.identity, "lk-0123456789") == 0);
}

/* Flash may hold another key. */
static void flash_that_cannot_be_read_leaves_no_key(void)
{
	flash_empty();
	board.kv_get_fails = true;
	start();
	CHECK(!unit->ready);
	CHECK(logged("flash cannot be read 0\n"));
	board_of("lamp");
	fake_kv_put(&board, "secret", NULL, 0);
	start();
	CHECK(!unit->ready);
	CHECK(printed("secret is missing, or no good\r\n"));
}

static void an_unlock_ends_here_too(void)
{
	struct lk_receipt r;

	board_of("lamp");
	start();
	CHECK(mine.actuator.lamp);
	CHECK_EQ(unit->node.served.actuator, &mine.actuator);
	online();
	most = 0;
	pass(5000);
	CHECK_EQ(most, 50); /* then the console is looked at */
	lk_actuator_obey(
		&mine.actuator, &(struct lk_command){.id = 1, .action = LK_UNLOCK, .duration = 1000}, board.now, &r);
	CHECK_EQ(r.result, LK_DONE);
	pass(999);
	CHECK(mine.actuator.pulsing);
	CHECK_EQ(board.level, 100);
	CHECK_EQ(step(), 1);
	pass(1);
	CHECK(!mine.actuator.pulsing);
	CHECK_EQ(board.level, 0);
}

int main(void)
{
	an_empty_flash_leaves_the_key_that_is_built_in();
	flash_that_cannot_be_read_leaves_no_key();
	an_unlock_ends_here_too();
	return check_end("app_lamp");
}
