/* The relay and the lamp: which commands move them and for how long, and what must not move
 * them. */
#include <string.h>

#include "actuator.h"
#include "check.h"
#include "err.h"
#include "fake_port.h"

static struct fake_port board;
static struct lk_actuator a;
static struct lk_receipt r;

static void power_up(bool lamp)
{
	fake_init(&board);
	board.level = 100; /* whatever it was before */
	lk_actuator_init(&a, &board.port, lamp);
	CHECK_EQ(board.level, 0); /* off first */
}

static void obey(uint64_t id, uint8_t action, uint8_t level, uint32_t duration)
{
	struct lk_command c = {.id = id, .action = action, .level = level, .duration = duration};

	memset(&r, 0xee, sizeof r);
	lk_actuator_obey(&a, &c, board.now, &r);
}

static struct lk_state state(void)
{
	struct lk_state s;

	lk_actuator_read_state(&a, board.now, &s);
	return s;
}

static void a_pulse_ends_by_itself(void)
{
	power_up(false);
	obey(5, LK_UNLOCK, 0, 800);
	CHECK(r.result == LK_DONE && r.state.on && r.state.id == 5 && r.state.left == 800 && r.state.level == 0);
	CHECK_EQ(board.level, 100);
	fake_pass_time(&board, 799);
	CHECK(board.level == 100 && state().left == 1);
	CHECK_EQ(lk_actuator_poll(&a, board.now), 1);
	fake_pass_time(&board, 1); /* the board's timer, without us */
	CHECK_EQ(board.level, 0);
	CHECK(!state().on && state().left == 0);
	fake_pass_time(&board, 50); /* the loop is late */
	CHECK(!state().on && state().left == 0);
	CHECK_EQ(lk_actuator_poll(&a, board.now), UINT32_MAX);
	CHECK(!a.pulsing && !state().on);
}

static void no_command_raises_the_limit(void)
{
	static const struct {
		uint32_t asked, got;
	} cases[] = {{0, LK_PULSE_OWN}, {1, 1}, {10000, 10000}, {10001, LK_PULSE_LIMIT}, {60000, LK_PULSE_LIMIT},
		{UINT32_MAX, LK_PULSE_LIMIT}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		power_up(false);
		obey(1, LK_UNLOCK, 0, cases[i].asked);
		CHECK_EQ(board.outputs[board.output_n - 1].ms, cases[i].got);
		CHECK_EQ(r.state.left, cases[i].got);
	}
}

static void the_same_command_again_moves_nothing(void)
{
	power_up(false);
	obey(5, LK_UNLOCK, 0, 500);
	size_t moves = board.output_n;
	fake_pass_time(&board, 600);
	(void)lk_actuator_poll(&a, board.now);
	moves = board.output_n;
	obey(5, LK_UNLOCK, 0, 500);
	CHECK(r.result == LK_DONE && r.state.on && r.state.left == 500); /* the first receipt again */
	CHECK_EQ(board.output_n, moves);
	obey(4, LK_UNLOCK, 0, 500);
	CHECK(r.result == LK_REFUSED && !r.state.on && r.state.id == 5);
	CHECK_EQ(board.output_n, moves);
	obey(6, LK_UNLOCK, 0, 500);
	CHECK(r.result == LK_DONE && board.output_n == moves + 1);
	lk_actuator_begin_session(&a);
	obey(1, LK_LOCK, 0, 0); /* ids begin anew with an association */
	CHECK(r.result == LK_DONE && board.level == 0 && !a.pulsing);
}

/* A new association has obeyed no command yet, so the receipt of the one before must not answer its
 * commands. */
static void a_new_association_knows_no_receipt_of_the_old_one(void)
{
	power_up(false);
	obey(5, LK_UNLOCK, 0, 500);
	lk_actuator_begin_session(&a);
	size_t moves = board.output_n;
	obey(0, LK_UNLOCK, 0, 500); /* not an id */
	CHECK(r.result == LK_REFUSED && !r.state.on && r.state.id == 0 && board.output_n == moves);
}

static void a_lost_session_shuts_a_lock_and_leaves_a_lamp(void)
{
	power_up(false);
	obey(1, LK_UNLOCK, 0, 5000);
	lk_actuator_lose_session(&a);
	CHECK(board.level == 0 && !state().on);
	CHECK_EQ(board.outputs[board.output_n - 1].ms, 0); /* off, with no pulse left */
	CHECK_EQ(lk_actuator_poll(&a, board.now), UINT32_MAX);
	power_up(true);
	obey(1, LK_ON, 0, 0);
	lk_actuator_lose_session(&a);
	CHECK(board.level == 100 && state().on);
}

static void the_exit_button_opens_whatever_the_session_does(void)
{
	power_up(false);
	lk_actuator_open_from_inside(&a, board.now);
	CHECK(board.level == 100 && state().left == LK_PULSE_OWN && state().id == 0);
	lk_actuator_lose_session(&a);
	CHECK_EQ(board.level, 100);
	fake_pass_time(&board, LK_PULSE_OWN);
	CHECK_EQ(board.level, 0);
	obey(1, LK_UNLOCK, 0, 5000); /* the gateway's next command controls the relay again */
	lk_actuator_lose_session(&a);
	CHECK_EQ(board.level, 0);
	obey(2, LK_UNLOCK, 0, 5000);
	/* somebody presses the exit button during the gateway's pulse */
	lk_actuator_open_from_inside(&a, board.now);
	lk_actuator_lose_session(&a);
	CHECK_EQ(board.level, 100);
}

static void the_state_says_what_the_contact_says(void)
{
	power_up(false);
	CHECK_EQ(state().contact, LK_CONTACT_UNKNOWN);
	a.contact = LK_CONTACT_OPEN;
	CHECK_EQ(state().contact, LK_CONTACT_OPEN);
	obey(1, LK_UNLOCK, 0, 500);
	CHECK_EQ(r.state.contact, LK_CONTACT_OPEN);
}

static void a_lamp_knows_on_off_and_level(void)
{
	power_up(true);
	obey(1, LK_LEVEL, 40, 0);
	CHECK(board.level == 40 && state().on && state().level == 40 && state().left == 0);
	obey(2, LK_ON, 0, 0);
	CHECK(board.level == 100 && state().level == 100);
	fake_pass_time(&board, 1000);
	CHECK(state().on && state().left == 0); /* a lamp stays on */
	obey(3, LK_LEVEL, 1, 0);
	CHECK(board.level == 1 && state().on && state().level == 1);
	obey(4, LK_LEVEL, 0, 0);
	CHECK(board.level == 0 && !state().on);
	obey(5, LK_LEVEL, 7, 0);
	obey(6, LK_OFF, 0, 0);
	CHECK(board.level == 0 && !state().on && state().level == 0);
	fake_pass_time(&board, 100000);
	CHECK_EQ(lk_actuator_poll(&a, board.now), UINT32_MAX);
}

static void each_kind_takes_its_own_actions_only(void)
{
	power_up(false);
	for (int action = -1; action < 256; action++)
		CHECK_EQ(lk_actuator_fits(&a, (uint8_t)action), action == LK_UNLOCK || action == LK_LOCK);
	power_up(true);
	for (int action = 0; action < 256; action++)
		CHECK_EQ(
			lk_actuator_fits(&a, (uint8_t)action), action == LK_ON || action == LK_OFF || action == LK_LEVEL);
}

static void a_pulse_across_the_end_of_the_clock(void)
{
	power_up(false);
	board.now = UINT32_MAX - 100;
	obey(1, LK_UNLOCK, 0, 1000);
	fake_pass_time(&board, 500);
	CHECK(state().on && state().left == 500);
	fake_pass_time(&board, 500);
	CHECK(!state().on);
}

static void an_unlock_does_not_cut_the_exit_short(void)
{
	power_up(false);
	lk_actuator_open_from_inside(&a, board.now);
	fake_pass_time(&board, 1000);
	obey(1, LK_UNLOCK, 0, 500);
	CHECK(r.result == LK_DONE && r.state.on && r.state.id == 1 && r.state.left == LK_PULSE_OWN - 1000);
	lk_actuator_lose_session(&a);
	CHECK_EQ(board.level, 100);
	obey(2, LK_UNLOCK, 0, LK_PULSE_OWN - 1000); /* ends at the same moment: the button's pulse stays */
	CHECK(r.result == LK_DONE && r.state.left == LK_PULSE_OWN - 1000);
	lk_actuator_lose_session(&a);
	CHECK_EQ(board.level, 100);
	obey(3, LK_UNLOCK, 0, LK_PULSE_OWN - 1000 + 1); /* a longer one takes over */
	CHECK_EQ(r.state.left, LK_PULSE_OWN - 1000 + 1);
	lk_actuator_lose_session(&a);
	CHECK_EQ(board.level, 0);
	lk_actuator_open_from_inside(&a, board.now);
	obey(4, LK_UNLOCK, 0, 5000);
	CHECK_EQ(r.state.left, 5000);
	lk_actuator_open_from_inside(&a, board.now);
	obey(5, LK_LOCK, 0, 0); /* a command to lock always locks */
	CHECK_EQ(board.level, 0);
	lk_actuator_open_from_inside(&a, board.now);
	fake_pass_time(&board, LK_PULSE_OWN + 1); /* over, though lk_actuator_poll was not called yet */
	obey(6, LK_UNLOCK, 0, 500);
	CHECK(board.level == 100 && r.state.left == 500);
}

/* A lock's link has its longest pulse in ms as maxpulse. */
static void the_links_say_how_long_a_lock_holds(void)
{
	char want[96], got[96];
	int n;

	power_up(false);
	(void)snprintf(
		want, sizeof want, "</act>;rt=\"latchkey.act\";if=\"core.a\";ct=60;epoch;maxpulse=%d", LK_PULSE_LIMIT);
	n = lk_actuator_write_links(&a, (uint8_t *)got, sizeof got);
	CHECK(n == (int)strlen(want) && memcmp(got, want, (size_t)n) == 0);
	CHECK_EQ(lk_actuator_write_links(&a, (uint8_t *)got, (size_t)n), n);
	CHECK_EQ(lk_actuator_write_links(&a, (uint8_t *)got, (size_t)n - 1), LK_ESPACE);
	power_up(true);
	n = lk_actuator_write_links(&a, (uint8_t *)got, sizeof got);
	static const char lamp[] = "</act>;rt=\"latchkey.act\";if=\"core.a\";ct=60;epoch";
	CHECK(n == (int)strlen(lamp) && memcmp(got, lamp, (size_t)n) == 0);
}

/* A shorter pulse replaces the longer pulse of the command before. */
static void a_shorter_command_cuts_the_longer_one_short(void)
{
	power_up(false);
	obey(1, LK_UNLOCK, 0, 5000);
	fake_pass_time(&board, 100);
	obey(2, LK_UNLOCK, 0, 500);
	CHECK_EQ(state().left, 500);
	fake_pass_time(&board, 500);
	CHECK_EQ(board.level, 0);
	CHECK(!state().on);
}

/* The newest command of all associations is told unless it is this association's own, and it
 * outlives a reset, but not the loss of power. */
static void the_newest_command_is_remembered(void)
{
	power_up(false);
	CHECK(state().obeyed == 0 && state().epoch == 0);
	obey(4790, LK_UNLOCK, 0, 800);
	CHECK(state().id == 4790 && state().obeyed == 0);
	lk_actuator_begin_session(&a);
	CHECK(state().id == 0 && state().obeyed == 4790 && state().epoch == 0);
	obey(4712, LK_LOCK, 0, 0); /* of a store that was put back */
	CHECK(r.result == LK_DONE && state().id == 4712 && state().obeyed == 4790);

	lk_actuator_init(&a, &board.port, false); /* a reset */
	CHECK(state().id == 0 && state().obeyed == 4790);
	board.rtc[9] ^= 1;
	lk_actuator_init(&a, &board.port, false);
	CHECK(state().obeyed == 0);
	memset(board.rtc, 0xa5, sizeof board.rtc); /* no power */
	lk_actuator_init(&a, &board.port, false);
	CHECK(state().obeyed == 0);
	board.rtc_fails = true;
	obey(5, LK_LOCK, 0, 0);
	CHECK(r.result == LK_DONE && state().id == 5);
}

/* An epoch comes before an id. */
static void a_new_epoch_is_newer(void)
{
	struct lk_command c = {.id = 100, .action = LK_LOCK, .epoch = 2};

	power_up(false);
	obey(4790, LK_LOCK, 0, 0);
	lk_actuator_begin_session(&a);
	lk_actuator_obey(&a, &c, board.now, &r);
	CHECK(r.result == LK_DONE && state().id == 100 && state().obeyed == 0 && state().epoch == 0);
	lk_actuator_begin_session(&a);
	CHECK(state().obeyed == 100 && state().epoch == 2);
	obey(4791, LK_LOCK, 0, 0); /* of a store from before that epoch */
	CHECK(r.result == LK_DONE && state().id == 4791 && state().obeyed == 100 && state().epoch == 2);
	lk_actuator_init(&a, &board.port, false);
	CHECK(state().obeyed == 100 && state().epoch == 2);
}

int main(void)
{
	a_shorter_command_cuts_the_longer_one_short();
	the_links_say_how_long_a_lock_holds();

	a_pulse_ends_by_itself();
	no_command_raises_the_limit();
	the_same_command_again_moves_nothing();
	a_new_association_knows_no_receipt_of_the_old_one();
	the_state_says_what_the_contact_says();
	a_lost_session_shuts_a_lock_and_leaves_a_lamp();
	the_exit_button_opens_whatever_the_session_does();
	a_lamp_knows_on_off_and_level();
	each_kind_takes_its_own_actions_only();
	a_pulse_across_the_end_of_the_clock();
	an_unlock_does_not_cut_the_exit_short();
	the_newest_command_is_remembered();
	a_new_epoch_is_newer();
	return check_end("actuator");
}
