/* Two cards at once: where the chip reports that they differ, and which command the driver sends
 * next (ISO 14443-3, chapter 6.5.3). */
#include "mfrc522_rig.h"

static struct rig r;
static const uint8_t base[4] = { 0x10, 0x24, 0x42, 0x18 };

/* Puts two cards there that differ in one bit of their UID, and runs until both have answered the
 * first anticollision command. */
static void collide_two_cards(unsigned bit)
{
	uint8_t other[4];

	memcpy(other, base, sizeof other);
	other[bit / 8] = (uint8_t)(other[bit / 8] ^ 1u << bit % 8);
	rig_start(&r);
	mfrc522_model_card(&r.m, base, sizeof base);
	mfrc522_model_add(&r.m, other, sizeof other);
	while (r.m.frames < 2)
		r.now += rig_step(&r);
	CHECK_EQ(r.frame[0], 0x93);
	CHECK_EQ(r.frame[1], 0x20);
}

static void next_command_has_the_bits_before_the_collision_and_a_choice(void)
{
	for (unsigned bit = 0; bit < 32; bit++) {
		unsigned known = bit + 1;

		collide_two_cards(bit);
		CHECK_EQ(rig_step(&r), 2);
		CHECK_EQ(r.frame[0], 0x93);
		CHECK_EQ(r.frame[1], 0x20 + (known / 8 << 4) + known % 8);
		for (unsigned i = 0; i < bit; i++)
			CHECK_EQ(r.frame[2 + i / 8] >> i % 8 & 1, base[i / 8] >> i % 8 & 1);
		/* the first choice is 0, whatever the chip reads there */
		CHECK_EQ(r.frame[2 + bit / 8] >> bit % 8 & 1, 0);
		r.now += 2;
		rig_poll(&r);
		CHECK_EQ(r.cards, 1);
		CHECK_EQ(r.uid[bit / 8] >> bit % 8 & 1, 0);
		rig_run(&r, 300);
		CHECK_EQ(r.cards, 2);
		CHECK_EQ(r.uid[bit / 8] >> bit % 8 & 1, 1);
	}
}

/* The bits before a collision count only if the chip has them all. */
static void bits_that_were_not_received_are_not_sent_back(void)
{
	for (unsigned bit = 0; bit < 32; bit++)
		for (unsigned level = 0; level < 8; level++) {
			bool enough = level >= 1 && 8 * level >= bit && level <= 5;

			collide_two_cards(bit);
			r.wrong_level = true;
			r.level = (uint8_t)level;
			CHECK_EQ(rig_step(&r), enough ? 2 : 30);
			CHECK_EQ(r.m.frames, enough ? 3 : 2);
		}
}

/* Only CollErr means a collision. With any other error the driver ignores CollReg. */
static void another_error_is_no_collision(void)
{
	for (unsigned error = 1; error < 32; error++) {
		collide_two_cards(4);
		r.wrong_error = true;
		r.error = (uint8_t)error;
		r.position = 5;
		CHECK_EQ(rig_step(&r), error & 8 ? 2 : 30);
	}
}

/* Two cards share each value of the colliding bit, so either choice collides again. The next
 * attempt makes the other choice. */
static void choice_alternates(void)
{
	rig_start(&r);
	r.m.patient = true; /* all four answer each time */
	for (uint8_t i = 0; i < 4; i++)
		mfrc522_model_add(&r.m, (const uint8_t[]){ 0x10, 0x24, 0x42, (uint8_t)(i << 3) }, 4);
	for (unsigned attempt = 0; attempt < 8; attempt++) {
		do {
			r.now += rig_step(&r);
		} while (r.frame[0] != 0x93 || r.frame[1] == 0x20);
		CHECK_EQ(r.frame[1], 0x20 + (3 << 4) + 4);
		CHECK_EQ(r.frame[5] >> 3 & 1, attempt % 2);
		CHECK_EQ(rig_poll(&r), 30);
		CHECK_EQ(r.cards, 0);
	}
}

/* Even after a new card that could not be read, the card that lies there is selected by its own
 * UID. */
static void known_card_is_selected_by_its_own_uid(void)
{
	static const uint8_t wanted[] = { 0x93, 0x70, 0x0A, 0x1B, 0x2C, 0x3D, 0x0A ^ 0x1B ^ 0x2C ^ 0x3D };

	rig_start(&r);
	mfrc522_model_card(&r.m, four, sizeof four);
	rig_run(&r, 1000);
	CHECK_EQ(r.cards, 1);
	mfrc522_model_add(&r.m, base, sizeof base);
	r.m.card[1].lie = 1; /* its BCC is wrong */
	for (int i = 0; i < 10; i++) {
		for (uint32_t wupa = r.wupa; r.wupa == wupa;)
			r.now += rig_step(&r);
		r.now += rig_step(&r);
		CHECK(memcmp(r.frame, wanted, sizeof wanted) == 0);
		rig_poll(&r);
	}
	CHECK_EQ(r.cards, 1);
}

int main(void)
{
	choice_alternates();
	known_card_is_selected_by_its_own_uid();
	next_command_has_the_bits_before_the_collision_and_a_choice();
	bits_that_were_not_received_are_not_sent_back();
	another_error_is_no_collision();
	return check_end("mfrc522_collisions");
}
