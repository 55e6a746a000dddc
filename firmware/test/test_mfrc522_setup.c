/* What the driver writes to the chip before it looks for cards, by the data sheet's numbers, and
 * when it takes the chip for dead. */
#include "mfrc522_rig.h"

static struct rig r;

static void the_registers_are_set_up(void)
{
	static const struct {
		uint8_t reg, value;
	} all[] = {{0x12, 0x00}, {0x13, 0x00}, {0x2a, 0x80}, {0x2b, 0xa9}, {0x2c, 0}, {0x2d, 120}, {0x15, 0x40},
		{0x11, 0x3d}, {0x26, 0x68}, {0x14, 0x83}};

	rig_start(&r);
	rig_run(&r, 1000);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		CHECK_EQ(r.m.reg[all[i].reg], all[i].value);
	CHECK_EQ(r.m.reg[0x0e] & 0x80, 0);
}

/* Clones of the chip may have other values in their registers after a reset. */
static void the_setup_does_not_depend_on_reset_values(void)
{
	static const uint8_t regs[] = {0x11, 0x12, 0x13, 0x14, 0x15, 0x26, 0x2a, 0x2b, 0x2c, 0x2d};
	uint8_t before[sizeof regs];

	rig_start(&r);
	rig_run(&r, 1000);
	for (size_t i = 0; i < sizeof regs; i++)
		before[i] = r.m.reg[regs[i]];
	rig_start(&r);
	r.now += rig_step(&r);
	r.now += rig_step(&r);
	for (size_t i = 0; i < sizeof regs; i++)
		r.m.reg[regs[i]] = (uint8_t)~before[i];
	r.m.reg[0x0e] |= 0x80;
	rig_step(&r);
	for (size_t i = 0; i < sizeof regs; i++)
		CHECK_EQ(r.m.reg[regs[i]], before[i]);
	CHECK_EQ(r.m.reg[0x0e] & 0x80, 0);
}

/* Before each poll the driver compares the registers with what it wrote, except bits that the chip
 * itself writes and reserved ones (data sheet, chapter 9.3). */
static void a_flipped_bit_is_noticed_unless_it_is_the_chips_own(void)
{
	static const struct {
		uint8_t reg, ours, theirs;
	} all[] = {
		{0x0e, 0x80, 0x7f}, /* CollReg: the rest is where the last collision was */
		{0x11, 0x23, 0x54}, /* ModeReg: TxWaitRF and CRCPreset; MSBFirst and PolMFin are of no use here */
		{0x12, 0xf0, 0x07}, /* TxModeReg: TxCRCEn and TxSpeed */
		{0x13, 0xf4, 0x03}, /* RxModeReg: RxCRCEn, RxSpeed and RxMultiple */
		{0x14, 0x03, 0x04}, /* TxControlReg: both of the antenna's drivers */
		{0x15, 0x40, 0xbf}, /* TxASKReg: Force100ASK */
		{0x26, 0x70, 0x8f}, /* RFCfgReg: RxGain */
		{0x2a, 0xff, 0x00}, {0x2b, 0xff, 0x00}, {0x2c, 0xff, 0x00}, {0x2d, 0xff, 0x00}, /* the timer */
	};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			if (!((all[i].ours | all[i].theirs) >> bit & 1))
				continue;
			rig_start(&r);
			rig_run(&r, 1000);
			r.m.reg[all[i].reg] = (uint8_t)(r.m.reg[all[i].reg] ^ 1u << bit);
			rig_run(&r, 110);
			CHECK_EQ(r.d.failures, all[i].ours >> bit & 1);
		}
}

/* After a wake nobody has zeroed the memory. */
static void the_driver_starts_with_any_memory(void)
{
	rig_start(&r);
	memset(&r.d, 0xa5, sizeof r.d);
	lk_mfrc522_init(&r.d);
	mfrc522_model_card(&r.m, four, sizeof four);
	rig_run(&r, 1000);
	CHECK(read_card_is(&r, four, sizeof four));
	CHECK_EQ(r.cards, 1);
}

static void after_five_failures_the_chip_counts_as_dead(void)
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
	the_setup_does_not_depend_on_reset_values();
	a_flipped_bit_is_noticed_unless_it_is_the_chips_own();
	the_driver_starts_with_any_memory();
	after_five_failures_the_chip_counts_as_dead();
	return check_end("mfrc522_setup");
}
