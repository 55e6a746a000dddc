/* The model itself: it answers only a driver that does everything right. */
#include "check.h"
#include "mfrc522_model.h"

static void model_write(struct mfrc522_model *m, uint8_t reg, uint8_t value)
{
	uint8_t b[2] = { (uint8_t)(reg << 1), value };

	mfrc522_model_spi(m, b, b, 2);
}

static uint8_t model_read(struct mfrc522_model *m, uint8_t reg)
{
	uint8_t b[2] = { (uint8_t)(0x80 | reg << 1), 0 };

	mfrc522_model_spi(m, b, b, 2);
	return b[1];
}

static uint8_t model_reqa(struct mfrc522_model *m, uint8_t bits)
{
	model_write(m, 0x01, 0);
	model_write(m, 0x04, 0x7F);
	model_write(m, 0x0A, 0x80);
	model_write(m, 0x09, 0x26);
	model_write(m, 0x0D, bits);
	model_write(m, 0x01, 0x0C);
	model_write(m, 0x0D, bits | 0x80);
	return model_read(m, 0x04);
}

static void model_is_strict(void)
{
	static const uint8_t four[4] = { 0x0A, 0x1B, 0x2C, 0x3D };
	struct mfrc522_model m;
	uint8_t b[3] = { 0x80 | 0x37 << 1, 0x80 | 0x14 << 1, 0 };

	mfrc522_model_init(&m);
	mfrc522_model_card(&m, four, 4);
	mfrc522_model_spi(&m, b, b, 3);
	CHECK_EQ(b[1], 0x92);
	CHECK_EQ(b[2], 0x80);
	CHECK_EQ(model_reqa(&m, 7) & 0x21, 0); /* no timer, no field */
	model_write(&m, 0x2A, 0x80);
	model_write(&m, 0x2B, 0xA9);
	model_write(&m, 0x2D, 0x78);
	CHECK_EQ(model_reqa(&m, 7) & 0x21, 0x01);
	model_write(&m, 0x11, 0x3D);
	model_write(&m, 0x15, 0x40);
	CHECK_EQ(model_reqa(&m, 7) & 0x21, 0x01);
	model_write(&m, 0x14, 0x83);
	CHECK_EQ(model_reqa(&m, 0) & 0x21, 0x01); /* a REQA has 7 bits, not 8 */
	CHECK_EQ(m.misuse, 0);
	CHECK_EQ(model_reqa(&m, 7) & 0x21, 0x20);
	CHECK_EQ(model_read(&m, 0x0A), 2);
	CHECK_EQ(model_read(&m, 0x09), 0x04);
	CHECK_EQ(model_read(&m, 0x09), 0x00);
	CHECK_EQ(m.misuse, 0);
	model_read(&m, 0x09); /* reads past the end of the FIFO */
	CHECK_EQ(m.misuse, 1);
	CHECK_EQ(model_reqa(&m, 7) & 0x21, 0x01); /* a card that is READY goes back to IDLE */
	CHECK_EQ(model_reqa(&m, 7) & 0x21, 0x20);
	model_write(&m, 0x01, 0x0E); /* MFAuthent */
	CHECK_EQ(model_read(&m, 0x06), 0x01);
	model_write(&m, 0x0A, 0x80); /* the CRC of a HLTA frame is the standard's own example */
	model_write(&m, 0x09, 0x50);
	model_write(&m, 0x09, 0x00);
	model_write(&m, 0x01, 0x03);
	CHECK_EQ(model_read(&m, 0x05) & 0x04, 0x04);
	CHECK_EQ(model_read(&m, 0x22), 0x57);
	CHECK_EQ(model_read(&m, 0x21), 0xCD);
	model_write(&m, 0x01, 0x0F);
	CHECK_EQ(model_read(&m, 0x14), 0x80);
	CHECK_EQ(m.misuse, 1);
	mfrc522_model_reset(&m, true);
	CHECK_EQ(model_read(&m, 0x37), 0);
	CHECK_EQ(m.misuse, 2);
}

/* Reserved and read-only bits are written as 0 or as they were, data sheet chapter 9.2. */
static void model_counts_changes_of_reserved_bits(void)
{
	static const struct {
		uint8_t reg, value;
		bool allowed;
	} all[] = {
		{0x0A, 0x80, true},
		{0x0A, 0x81, false}, /* FlushBuffer, FIFOLevel */
		/* ValuesAfterColl, CollPos */
		{0x0E, 0x00, true},
		{0x0E, 0x80, true},
		{0x0E, 0x01, false},
		{0x0E, 0x40, false},
		/* 0x54 is reserved, and 0x14 after a reset */
		{0x11, 0x3D, true},
		{0x11, 0x29, true},
		{0x11, 0x39, false},
		{0x12, 0x00, true},
		{0x12, 0x01, false},
		{0x13, 0x02, false},
		{0x14, 0x83, true},
		{0x14, 0x87, false},
		{0x15, 0x40, true},
		{0x15, 0xC0, false},
		{0x26, 0x68, true},
		{0x26, 0x60, true},
		{0x26, 0x61, false},
		{0x01, 0x40, false},
		{0x0D, 0x77, true},
		{0x0D, 0x08, false},
		{0x37, 0x92, false},
		{0x06, 0x00, false},
	};
	struct mfrc522_model m;

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		mfrc522_model_init(&m);
		model_write(&m, all[i].reg, all[i].value);
		CHECK_EQ(m.misuse, !all[i].allowed);
	}
}

/* A command stays active until another is written. StartSend and interrupts stay set until the
 * driver clears them. */
static void model_clears_nothing_by_itself(void)
{
	static const uint8_t four[4] = { 0x0A, 0x1B, 0x2C, 0x3D };
	struct mfrc522_model m;

	mfrc522_model_init(&m);
	mfrc522_model_card(&m, four, 4);
	model_write(&m, 0x2A, 0x80);
	model_write(&m, 0x2B, 0xA9);
	model_write(&m, 0x2D, 0x78);
	model_write(&m, 0x11, 0x3D);
	model_write(&m, 0x15, 0x40);
	model_write(&m, 0x14, 0x83);
	CHECK_EQ(model_reqa(&m, 7) & 0x21, 0x20);
	CHECK_EQ(model_read(&m, 0x04) & 0x21, 0x20); /* reading clears nothing */
	model_write(&m, 0x04, 0x80);                 /* nor does writing without a marked bit, or setting one */
	CHECK_EQ(model_read(&m, 0x04) & 0x21, 0x20);
	CHECK_EQ(m.misuse, 0);
	model_write(&m, 0x09, 0x26); /* while Transceive is active */
	CHECK_EQ(m.misuse, 1);
	CHECK_EQ(model_read(&m, 0x06) & 0x80, 0x80); /* WrErr */
	model_write(&m, 0x01, 0x00);
	model_write(&m, 0x09, 0x26);
	CHECK_EQ(m.misuse, 1);
	model_write(&m, 0x01, 0x0C); /* while StartSend is still set */
	CHECK_EQ(m.misuse, 2);
}

int main(void)
{
	model_is_strict();
	model_counts_changes_of_reserved_bits();
	model_clears_nothing_by_itself();
	return check_end("mfrc522_model");
}
