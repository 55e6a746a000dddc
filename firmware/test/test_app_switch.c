/* The image of a switch: a press, and how still a contact must be. */
#include "switch.h"

#define IMAGE struct lk_switch
#define ROLE lk_role_switch
#define SEED NULL
#include "played_app.h"

static void begin(void)
{
	board_of("switch");
	fake_kv_text(&board, "targets", "porch");
	start();
	online();
	CHECK_EQ(gateway.scans, 0);
}

/* Presses or lets go, and looks at once. */
static void press(bool down)
{
	board.inputs[LK_INPUT_BUTTON] = down;
	(void)step();
}

static void look_after(uint32_t ms)
{
	fake_pass(&board, ms);
	(void)step();
}

static void a_press_counts_after_30_ms_and_once(void)
{
	begin();
	uint32_t at = board.now;
	press(true);
	look_after(29);
	CHECK(!unit->node.intent.active);
	look_after(1);
	CHECK(unit->node.intent.active);
	CHECK_EQ(unit->node.intent.at, at); /* when it was pressed */
	CHECK_EQ(unit->node.intent.action, LK_TOGGLE);
	CHECK_EQ(unit->node.intent.uid_len, 0);
	CHECK_EQ(unit->node.served.actuator, NULL);
	CHECK(!app.led.showing);
	pass(5000);
	CHECK_EQ(gateway.scans, 1);
	press(false);
	pass(5000);
	CHECK_EQ(gateway.scans, 1);
	press(true);
	pass(100);
	CHECK_EQ(gateway.scans, 2);
}

static void a_contact_that_bounces_is_waited_for(void)
{
	begin();
	press(true);
	fake_pass(&board, 10);
	press(false);
	fake_pass(&board, 10);
	uint32_t at = board.now;
	press(true);
	look_after(29);
	CHECK(!unit->node.intent.active);
	look_after(1);
	CHECK(unit->node.intent.active);
	CHECK_EQ(unit->node.intent.at, at);
	begin();
	press(true);
	fake_pass(&board, 20);
	press(false);
	pass(1000);
	CHECK_EQ(gateway.scans, 0);
}

static void a_press_while_another_waits_is_refused_by_the_light(void)
{
	begin();
	gateway.gone = true;
	press(true);
	pass(100);
	CHECK(unit->node.intent.active);
	press(false);
	pass(100);
	CHECK(!app.led.showing);
	press(true);
	pass(100);
	CHECK(app.led.showing);
	CHECK_EQ(app.led.once, LK_LED_RETRY);
}

static void its_inputs_are_looked_at_every_20_ms(void)
{
	begin();
	most = 0;
	pass(2000);
	CHECK_EQ(most, 20);
}

/* Each change of the case is told once. */
static void a_case_that_is_opened_is_told(void)
{
	begin();
	CHECK(told("tamper"));
	forget_told();
	pass(20000);
	CHECK(!told("tamper"));
	board.inputs[LK_INPUT_TAMPER] = true;
	(void)step();
	look_after(29);
	CHECK(!unit->node.report.tamper);
	look_after(1);
	CHECK(unit->node.report.tamper);
	pass(100);
	CHECK(told("tamper"));
	forget_told();
	pass(20000);
	CHECK(!told("tamper"));
}

int main(void)
{
	a_press_counts_after_30_ms_and_once();
	a_contact_that_bounces_is_waited_for();
	a_press_while_another_waits_is_refused_by_the_light();
	its_inputs_are_looked_at_every_20_ms();
	a_case_that_is_opened_is_told();
	return check_end("app_switch");
}
