/* The lock's image: what it does with its pins, and what it reports about them. */
#include "lock.h"

#include "check.h"
#include "fake_port.h"

#define IMAGE struct lk_lock
#define ROLE lk_role_lock
#define SEED NULL
#include "image.h"

static struct fake_port board;

static void boot(bool provisioned)
{
	fake_init(&board);
	board.net = false; /* what the node would report shows in unit->node.report without a gateway */
	if (provisioned)
		fake_provision(&board, "lock", "lk-0123456789");
}

static void start(void)
{
	start_image(&board.port);
	CHECK(board.level == 0);
}

static void pass(uint32_t ms)
{
	for (uint32_t end = board.now + ms; (int32_t)(board.now - end) < 0;)
		lk_app_step(&app);
}

static void the_exit_button_opens_with_settings_and_without(void)
{
	for (int provisioned = 0; provisioned < 2; provisioned++)
		for (int broken = 0; broken < 2; broken++) {
			boot(provisioned);
			board.kv_get_fails = broken;
			start();
			CHECK_EQ(unit->ready, provisioned && !broken);
			pass(200);
			board.inputs[LK_INPUT_BUTTON] = true;
			pass(100);
			CHECK_EQ(board.level, 100);
			board.inputs[LK_INPUT_BUTTON] = false;
			pass(LK_PULSE_OWN + 100);
			CHECK_EQ(board.level, 0);
			CHECK(!mine.actuator.pulsing);
		}
}

static void the_state_of_the_case_is_reported_at_boot(void)
{
	for (int open = 0; open < 2; open++) {
		boot(true);
		board.inputs[LK_INPUT_TAMPER] = open;
		start();
		pass(200);
		CHECK(unit->node.report.wanted & LK_REPORT_TAMPER);
		CHECK_EQ(unit->node.report.tamper, open);
		CHECK_EQ((unit->node.report.wanted & LK_REPORT_TAMPERED) != 0, open);
	}
}

static void a_door_and_a_case_that_were_open_are_reported_after_they_are_shut(void)
{
	boot(true);
	start();
	pass(200);
	CHECK(!(unit->node.report.wanted & (LK_REPORT_OPENED | LK_REPORT_TAMPERED)));
	board.inputs[LK_INPUT_CONTACT] = board.inputs[LK_INPUT_TAMPER] = true;
	pass(100);
	board.inputs[LK_INPUT_CONTACT] = board.inputs[LK_INPUT_TAMPER] = false;
	pass(100);
	CHECK(!unit->node.report.tamper && mine.actuator.contact == LK_CONTACT_CLOSED);
	CHECK((unit->node.report.wanted & LK_REPORT_OPENED) && (unit->node.report.wanted & LK_REPORT_TAMPERED));
}

static void new_settings_of_the_console_take_effect_at_a_restart(void)
{
	boot(true);
	start();
	fake_type(&board, "gateway 198.51.100.7:1\nidentity lk-9999999999\n");
	pass(100);
	CHECK(strcmp(unit->settings.host, "192.0.2.1") == 0 && unit->settings.port == 5684);
	CHECK(strcmp(unit->settings.identity, "lk-0123456789") == 0 && unit->settings.secret[0] == '0');
	CHECK(strcmp(unit->draft.settings.host, "198.51.100.7") == 0 && unit->draft.settings.secret[0] == 0);
	CHECK_EQ(board.restarts, 0);
}

static void its_contact_is_read_and_reported_at_boot(void)
{
	for (int open = 0; open < 2; open++) {
		boot(true);
		board.inputs[LK_INPUT_CONTACT] = board.inputs[LK_INPUT_TAMPER] = open;
		start();
		CHECK_EQ(mine.actuator.contact, open ? LK_CONTACT_OPEN : LK_CONTACT_CLOSED);
		CHECK(unit->node.report.wanted & LK_REPORT_CONTACT);
		CHECK(!(unit->node.report.wanted & LK_REPORT_OPENED));
		CHECK_EQ(unit->node.report.tamper, open);
		pass(200);
		CHECK(!(unit->node.report.wanted & LK_REPORT_OPENED)); /* it was open before */
		CHECK_EQ(unit->node.served.actuator, &mine.actuator);
		CHECK(!mine.actuator.lamp);
	}
}

static void an_exit_and_a_door_that_opens_and_shuts_are_reported(void)
{
	boot(true);
	start();
	pass(200);
	unit->node.report.wanted = 0;
	board.inputs[LK_INPUT_BUTTON] = true;
	pass(100);
	CHECK_EQ(unit->node.report.wanted, LK_REPORT_EXIT);
	board.inputs[LK_INPUT_BUTTON] = false;
	unit->node.report.wanted = 0;
	pass(100);
	CHECK_EQ(unit->node.report.wanted, 0);
	board.inputs[LK_INPUT_CONTACT] = true;
	pass(100);
	CHECK_EQ(unit->node.report.wanted, LK_REPORT_CONTACT | LK_REPORT_OPENED);
	CHECK_EQ(mine.actuator.contact, LK_CONTACT_OPEN);
	unit->node.report.wanted = 0;
	board.inputs[LK_INPUT_CONTACT] = false;
	pass(100);
	CHECK_EQ(unit->node.report.wanted, LK_REPORT_CONTACT);
	CHECK_EQ(mine.actuator.contact, LK_CONTACT_CLOSED);
}

static void its_inputs_are_read_every_20_ms(void)
{
	uint32_t most = 0;

	boot(true);
	start();
	for (int i = 0; i < 100; i++) {
		uint32_t before = board.waited;
		lk_app_step(&app);
		most = board.waited - before > most ? board.waited - before : most;
	}
	CHECK_EQ(most, 20);
}

int main(void)
{
	its_inputs_are_read_every_20_ms();
	its_contact_is_read_and_reported_at_boot();
	an_exit_and_a_door_that_opens_and_shuts_are_reported();
	the_exit_button_opens_with_settings_and_without();
	the_state_of_the_case_is_reported_at_boot();
	a_door_and_a_case_that_were_open_are_reported_after_they_are_shut();
	new_settings_of_the_console_take_effect_at_a_restart();
	return check_end("app_lock");
}
