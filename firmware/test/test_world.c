/* The lines on standard input that control the world of a simulated node: cards, buttons,
 * contacts. */
#include "check.h"
#include "world.h"

static struct lk_world world;

static enum lk_world_ask feed_line(const char *line)
{
	enum lk_world_ask ask = LK_WORLD_NOTHING;

	for (const char *c = line; *c != 0; c++) {
		CHECK_EQ(ask, LK_WORLD_NOTHING); /* nothing happens before the end of the line */
		ask = lk_world_feed(&world, (uint8_t)*c);
	}
	return ask;
}

static void the_node_sees_what_the_lines_set(void)
{
	lk_world_init(&world);
	CHECK_EQ(world.voltage, 3300);
	CHECK_EQ(world.rssi, -60);
	CHECK(!world.input[LK_INPUT_BUTTON] && !world.input[LK_INPUT_CONTACT] && !world.input[LK_INPUT_TAMPER]);
	CHECK_EQ(feed_line("!button 1\n!contact 1\n!tamper 1\n!tamper 0\n"), LK_WORLD_NOTHING);
	CHECK(world.input[LK_INPUT_BUTTON] && world.input[LK_INPUT_CONTACT] && !world.input[LK_INPUT_TAMPER]);
	CHECK_EQ(feed_line("!voltage 2750\n!rssi -81\n"), LK_WORLD_NOTHING);
	CHECK_EQ(world.voltage, 2750);
	CHECK_EQ(world.rssi, -81);
}

static void a_card_has_4_7_or_10_bytes(void)
{
	static const uint8_t uid[] = {0x04, 0xa1, 0xB2, 0xc3, 0xd4, 0xe5, 0x80};

	lk_world_init(&world);
	CHECK_EQ(feed_line("!card 04a1B2c3d4e580\n"), LK_WORLD_NOTHING);
	CHECK_EQ(world.chip.card[0].n, 7);
	CHECK(memcmp(world.chip.card[0].uid, uid, sizeof uid) == 0);
	CHECK_EQ(feed_line("!card 01020304\n"), LK_WORLD_NOTHING);
	CHECK_EQ(world.chip.card[0].n, 4);
	CHECK_EQ(feed_line("!card\n"), LK_WORLD_NOTHING);
	CHECK_EQ(world.chip.card[0].n, 0);
	CHECK_EQ(feed_line("!card 0102030405\n"), LK_WORLD_BAD);
	CHECK_EQ(feed_line("!card 0102030\n"), LK_WORLD_BAD);
	CHECK_EQ(feed_line("!card 0102030g\n"), LK_WORLD_BAD);
}

static void a_line_for_the_port_is_handed_to_it(void)
{
	lk_world_init(&world);
	CHECK_EQ(feed_line("!hang\n"), LK_WORLD_HANG);
	CHECK_EQ(feed_line("!rebind\n"), LK_WORLD_REBIND);
	CHECK_EQ(feed_line("!unaligned\n"), LK_WORLD_UNALIGNED);
	CHECK_EQ(feed_line("!stat\n"), LK_WORLD_STAT);
	CHECK_EQ(feed_line("!oom 4096\n"), LK_WORLD_OOM);
	CHECK_EQ(world.number, 4096);
	CHECK_EQ(feed_line("!chip deaf\n"), LK_WORLD_NOTHING);
	CHECK_EQ(world.chip.how, MFRC522_MODEL_DEAF);
	CHECK_EQ(feed_line("!chip ok\n"), LK_WORLD_NOTHING);
	CHECK_EQ(world.chip.how, MFRC522_MODEL_OK);
}

static void an_invalid_line_is_refused(void)
{
	static const char *const lines[] = {"!\n", "!frob\n", "!button\n", "!button 2\n", "!button 1 \n",
		"!button -1\n", "! button 1\n", "!voltage 3.3\n", "!voltage 4294967296\n", "!rssi --1\n", "!rssi -\n",
		"!oom\n", "!oom -1\n", "!hang 1\n", "!chip\n", "!chip  ok\n"};

	lk_world_init(&world);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		CHECK_EQ(feed_line(lines[i]), LK_WORLD_BAD);
	}
	for (int i = 0; i < LK_WORLD_LINE; i++) {
		CHECK_EQ(lk_world_feed(&world, '!'), LK_WORLD_NOTHING);
	}
	CHECK_EQ(feed_line("1\n"), LK_WORLD_BAD); /* one too many */
	CHECK_EQ(feed_line("!stat\n"), LK_WORLD_STAT);
}

static void every_other_line_goes_to_the_console(void)
{
	lk_world_init(&world);
	CHECK_EQ(lk_world_console_read(&world), -1);
	CHECK_EQ(feed_line("show\n!button 1\n\nset !x\r\n"), LK_WORLD_NOTHING);
	for (const char *c = "show\n\nset !x\r\n"; *c != 0; c++) {
		CHECK(lk_world_console_pending(&world));
		CHECK_EQ(lk_world_console_read(&world), *c);
	}
	CHECK(!lk_world_console_pending(&world));
	CHECK_EQ(lk_world_console_read(&world), -1);
}

static void what_does_not_fit_the_consoles_buffer_is_dropped(void)
{
	lk_world_init(&world);
	for (int round = 0; round < 3; round++) {
		size_t n = lk_world_room(&world);

		CHECK_EQ(n, LK_WORLD_CONSOLE);
		for (size_t i = 0; i < n; i++) {
			lk_world_feed(&world, (uint8_t)('a' + i % 26));
		}
		CHECK_EQ(lk_world_room(&world), 0);
		lk_world_feed(&world, '\n'); /* dropped, and no other byte with it */
		for (size_t i = 0; i < n; i++) {
			CHECK_EQ(lk_world_console_read(&world), (int)('a' + i % 26));
		}
		CHECK_EQ(lk_world_console_read(&world), -1);
	}
}

static void a_changed_output_is_printed(void)
{
	lk_world_init(&world);
	CHECK(lk_world_output(&world, 0, 0)); /* so a test sees that the output is off first */
	CHECK(!lk_world_output(&world, 0, 0));
	CHECK(lk_world_output(&world, 1, 500));
	CHECK(lk_world_output(&world, 1, 500));
	CHECK(lk_world_output(&world, 0, 0));
	CHECK(lk_world_output(&world, 40, 0));
	CHECK(!lk_world_output(&world, 40, 0));
}

int main(void)
{
	the_node_sees_what_the_lines_set();
	a_card_has_4_7_or_10_bytes();
	a_line_for_the_port_is_handed_to_it();
	an_invalid_line_is_refused();
	every_other_line_goes_to_the_console();
	what_does_not_fit_the_consoles_buffer_is_dropped();
	a_changed_output_is_printed();
	return check_end("world");
}
