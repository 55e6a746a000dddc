/* The image of a switch: when a press counts, and how long a contact must be steady. */
#include "switch.h"

#define IMAGE struct lk_switch
#define ROLE lk_role_switch
#define SEED NULL
#include "played_app.h"

static void begin(void)
{
	set_up_board("switch");
	fake_kv_put_text(&board, "targets", "porch");
	start();
	bring_online();
	CHECK_EQ(gateway.scans, 0);
}

/* Presses or releases the button, and makes a step at once. */
static void press(bool down)
{
	board.inputs[LK_INPUT_BUTTON] = down;
	(void)step();
}

static void step_after(uint32_t ms)
{
	fake_pass_time(&board, ms);
	(void)step();
}

static void a_press_counts_after_30_ms_and_once(void)
{
	begin();
	uint32_t at = board.now;
	press(true);
	step_after(29);
	CHECK(!unit->node.intent.active);
	step_after(1);
	CHECK(unit->node.intent.active);
	CHECK_EQ(unit->node.intent.at, at); /* when it was pressed */
	CHECK_EQ(unit->node.intent.action, LK_TOGGLE);
	CHECK_EQ(unit->node.intent.uid_len, 0);
	CHECK_EQ(unit->node.served.actuator, NULL);
	CHECK(!app.led.showing);
	pass_time(5000);
	CHECK_EQ(gateway.scans, 1);
	press(false);
	pass_time(5000);
	CHECK_EQ(gateway.scans, 1);
	press(true);
	pass_time(100);
	CHECK_EQ(gateway.scans, 2);
}

static void a_bouncing_contact_counts_when_it_is_steady(void)
{
	begin();
	press(true);
	fake_pass_time(&board, 10);
	press(false);
	fake_pass_time(&board, 10);
	uint32_t at = board.now;
	press(true);
	step_after(29);
	CHECK(!unit->node.intent.active);
	step_after(1);
	CHECK(unit->node.intent.active);
	CHECK_EQ(unit->node.intent.at, at);
	begin();
	press(true);
	fake_pass_time(&board, 20);
	press(false);
	pass_time(1000);
	CHECK_EQ(gateway.scans, 0);
}

static void the_light_refuses_a_press_while_another_waits_for_its_verdict(void)
{
	begin();
	gateway.gone = true;
	press(true);
	pass_time(100);
	CHECK(unit->node.intent.active);
	press(false);
	pass_time(100);
	CHECK(!app.led.showing);
	press(true);
	pass_time(100);
	CHECK(app.led.showing);
	CHECK_EQ(app.led.once, LK_LED_RETRY);
}

static void its_inputs_are_read_every_20_ms(void)
{
	begin();
	most = 0;
	pass_time(2000);
	CHECK_EQ(most, 20);
}

/* Each change of the case is reported once. */
static void an_opened_case_is_reported(void)
{
	begin();
	CHECK(was_reported("tamper"));
	forget_reports();
	pass_time(20000);
	CHECK(!was_reported("tamper"));
	board.inputs[LK_INPUT_TAMPER] = true;
	(void)step();
	step_after(29);
	CHECK(!unit->node.report.tamper);
	step_after(1);
	CHECK(unit->node.report.tamper);
	pass_time(100);
	CHECK(was_reported("tamper"));
	forget_reports();
	pass_time(20000);
	CHECK(!was_reported("tamper"));
}

int main(void)
{
	a_press_counts_after_30_ms_and_once();
	a_bouncing_contact_counts_when_it_is_steady();
	the_light_refuses_a_press_while_another_waits_for_its_verdict();
	its_inputs_are_read_every_20_ms();
	an_opened_case_is_reported();
	return check_end("app_switch");
}
