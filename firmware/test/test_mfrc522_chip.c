/* A chip that is missing, deaf or hot, or that has lost its registers. */
#include "mfrc522_rig.h"

static void deaf_chip_is_set_up_anew(int how)
{
	struct rig r;

	rig_start(&r);
	mfrc522_model_card(&r.m, seven, 7);
	rig_run(&r, 1000);
	for (uint32_t i = 1; i <= 10; i++) {
		mfrc522_model_break(&r.m, how);
		rig_run(&r, 250);
		CHECK_EQ(r.d.failures, i);
		CHECK_EQ(r.m.resets, 1 + i);
	}
	CHECK_EQ(r.cards, 1); /* the card lay there all the time */
	CHECK_EQ(r.logs, 0);
	mfrc522_model_card(&r.m, four, 4);
	rig_run(&r, 250);
	CHECK_EQ(r.cards, 2);
}

static void dead_chip_is_reported_once_and_comes_back(int how)
{
	struct rig r;
	uint32_t resets, steps;

	rig_start(&r);
	rig_run(&r, 1000);
	for (uint32_t i = 0; i < 3; i++) {
		r.broken_spi = how < 0;
		if (how >= 0)
			mfrc522_model_break(&r.m, how);
		rig_run(&r, 2000);
		CHECK_EQ(r.logs, 1 + 2 * i);
		CHECK(strcmp(r.log, "card reader chip does not answer") == 0);
		CHECK(r.d.dead);
		rig_run(&r, 60 * 1000);
		resets = r.d.failures;
		steps = r.steps;
		rig_run(&r, 600 * 1000);
		CHECK_EQ(r.logs, 1 + 2 * i);
		CHECK(r.d.failures - resets >= 55 && r.d.failures - resets <= 60); /* one try every 10 s */
		CHECK(r.steps - steps <= 4 * 60);
		mfrc522_model_card(&r.m, four, 4);
		r.broken_spi = false;
		mfrc522_model_break(&r.m, MFRC522_MODEL_OK);
		rig_run(&r, 10500);
		CHECK_EQ(r.logs, 2 + 2 * i);
		CHECK(strcmp(r.log, "card reader chip answers") == 0);
		CHECK(!r.d.dead);
		CHECK_EQ(r.cards, 1 + i);
		CHECK_EQ(r.d.version, 0x92);
		mfrc522_model_card(&r.m, NULL, 0);
		rig_run(&r, 1000);
	}
}

static void chip_that_is_not_there_at_the_start_is_found_later(void)
{
	struct rig r;

	rig_start(&r);
	mfrc522_model_break(&r.m, MFRC522_MODEL_DEAD);
	rig_run(&r, 30 * 1000);
	CHECK(r.d.dead);
	mfrc522_model_break(&r.m, MFRC522_MODEL_OK);
	mfrc522_model_card(&r.m, ten, 10);
	rig_run(&r, 10500);
	CHECK(!r.d.dead);
	CHECK(read_card_is(&r, ten, 10));
}

static void lost_register_is_noticed(void)
{
	static const struct {
		uint8_t reg, value;
	} lost[] = {
		{0x11, 0x3F},
		{0x11, 0x1D},
		{0x12, 0x80},
		{0x12, 0x10},
		{0x13, 0x80},
		{0x13, 0x04},
		{0x14, 0x80},
		{0x14, 0x81},
		{0x15, 0x00},
		{0x26, 0x48},
		{0x2A, 0x00},
		{0x2B, 0x00},
		{0x2C, 0x10},
		{0x2D, 0x00},
		{0x0E, 0x80},
		{0x37, 0x00},
		{0x37, 0xFF},
	};
	struct rig r;

	for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
		rig_start(&r);
		rig_run(&r, 1000);
		r.m.reg[lost[i].reg] = lost[i].value;
		rig_run(&r, 110);
		CHECK_EQ(r.d.failures, 1);
		mfrc522_model_card(&r.m, four, 4);
		rig_run(&r, 300);
		CHECK_EQ(r.d.failures, 1);
		CHECK_EQ(r.cards, 1);
	}
	rig_start(&r);
	rig_run(&r, 1000);
	mfrc522_model_forget(&r.m);
	mfrc522_model_card(&r.m, four, 4);
	rig_run(&r, 300);
	CHECK_EQ(r.d.failures, 1);
	CHECK_EQ(r.cards, 1);
}

static void hot_chip_is_left_alone_for_a_while(void)
{
	struct rig r;
	uint32_t start;

	rig_start(&r);
	rig_run(&r, 1000);
	start = r.now;
	while (r.now - start < 600 * 1000) {
		r.now += rig_step(&r);
		r.m.reg[0x06] |= 0x40; /* TempErr stays set */
	}
	CHECK(r.d.dead);
	CHECK_EQ(r.logs, 1);
	CHECK(r.d.failures >= 60 && r.d.failures <= 70);
}

static void chip_that_receives_nothing_is_set_up_anew_after_ten_minutes(void)
{
	struct rig r;

	rig_start(&r);
	rig_run(&r, 1000);
	mfrc522_model_break(&r.m, MFRC522_MODEL_MUTE);
	rig_run(&r, 11 * 60 * 1000);
	CHECK_EQ(r.m.resets, 2);
	CHECK_EQ(r.d.failures, 0);
	mfrc522_model_card(&r.m, four, 4);
	rig_run(&r, 200);
	CHECK_EQ(r.cards, 1);
}

static void chip_that_reads_now_and_then_is_left_alone(void)
{
	struct rig r;

	rig_start(&r);
	for (uint32_t i = 1; i <= 20; i++) {
		rig_run(&r, 5 * 60 * 1000);
		mfrc522_model_card(&r.m, four, 4);
		rig_run(&r, 300);
		mfrc522_model_card(&r.m, NULL, 0);
		CHECK_EQ(r.cards, i);
	}
	CHECK_EQ(r.m.resets, 1);
}

static void board_without_the_pin_resets_by_command(void)
{
	struct rig r;

	rig_start(&r);
	r.no_pin = true;
	rig_run(&r, 1000);
	r.m.reg[0x18] = 0;
	r.m.reg[0x14] = 0x80;
	mfrc522_model_card(&r.m, four, 4);
	rig_run(&r, 300);
	CHECK_EQ(r.m.reg[0x18], 0x84);
	CHECK_EQ(r.d.failures, 1);
	CHECK_EQ(r.cards, 1);
}

static void failed_transfer_counts_once(void)
{
	struct rig r;

	for (uint32_t at = 1; at < 200; at++) {
		rig_start(&r);
		rig_run(&r, 100);
		r.fail_at = at;
		mfrc522_model_card(&r.m, seven, 7);
		rig_run(&r, 3000);
		CHECK_EQ(r.fail_at, 0);
		CHECK_EQ(r.d.failures, 1);
		CHECK_EQ(r.cards, 1);
	}
}

int main(void)
{
	deaf_chip_is_set_up_anew(MFRC522_MODEL_DEAF);
	deaf_chip_is_set_up_anew(MFRC522_MODEL_STUCK);
	dead_chip_is_reported_once_and_comes_back(MFRC522_MODEL_DEAD);
	dead_chip_is_reported_once_and_comes_back(MFRC522_MODEL_ONES);
	dead_chip_is_reported_once_and_comes_back(-1); /* the board's SPI fails */
	chip_that_is_not_there_at_the_start_is_found_later();
	lost_register_is_noticed();
	hot_chip_is_left_alone_for_a_while();
	chip_that_receives_nothing_is_set_up_anew_after_ten_minutes();
	chip_that_reads_now_and_then_is_left_alone();
	board_without_the_pin_resets_by_command();
	failed_transfer_counts_once();
	return check_end("mfrc522_chip");
}
