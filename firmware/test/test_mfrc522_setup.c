/* What is written to the chip before it looks for cards, by the data sheet's numbers, and when it counts as dead. */
#include "mfrc522_rig.h"

static struct rig r;

static void the_registers_are_set_up(void)
{
	static const struct {
		uint8_t reg, value;
	} all[] = {{0x12, 0x00}, {0x13, 0x00}, {0x2a, 0x80}, {0x2b, 0xa9}, {0x2c, 0}, {0x2d, 120}, {0x15, 0x40}, {0x11, 0x3d},
		{0x26, 0x68}, {0x14, 0x83}};

	rig_start(&r);
	rig_run(&r, 1000);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		CHECK_EQ(r.m.reg[all[i].reg], all[i].value);
	CHECK_EQ(r.m.reg[0x0e] & 0x80, 0);
}

/* As from a wake, when nobody has zeroed the memory. */
static void the_driver_begins_with_whatever_memory(void)
{
	rig_start(&r);
	memset(&r.d, 0xa5, sizeof r.d);
	lk_mfrc522_init(&r.d);
	mfrc522_model_card(&r.m, four, sizeof four);
	rig_run(&r, 1000);
	CHECK(is(&r, four, sizeof four));
	CHECK_EQ(r.cards, 1);
}

static void after_five_failures_it_is_dead(void)
{
	rig_start(&r);
	mfrc522_model_break(&r.m, MFRC522_MODEL_DEAD);
	for (int i = 0; i < 100000 && !r.d.dead; i++) {
		CHECK_EQ(r.d.dead, r.d.failures >= 5);
		r.now += rig_step(&r);
	}
	CHECK(r.d.dead);
	CHECK_EQ(r.d.failures, 5);
}

int main(void)
{
	the_registers_are_set_up();
	the_driver_begins_with_whatever_memory();
	after_five_failures_it_is_dead();
	return check_end("mfrc522_setup");
}
