/* Wrong answers of cards, and interference, that must not be read as a card. */
#include "mfrc522_rig.h"

static void tamper(void *ctx, enum mfrc522_model_answer what, uint8_t *answer, size_t *bits)
{
	struct rig *r = ctx;
	uint32_t crc = 0x6363;

	switch (r->how) {
	case 0: /* one bit of a UID or its BCC */
		if (what == MFRC522_MODEL_UID)
			answer[r->flip / 8] = (uint8_t)(answer[r->flip / 8] ^ 1u << r->flip % 8);
		return;
	case 1: /* one bit of a SAK or its CRC */
		if (what == MFRC522_MODEL_SAK)
			answer[r->flip / 8] = (uint8_t)(answer[r->flip / 8] ^ 1u << r->flip % 8);
		return;
	case 2: /* a UID of another length */
		if (what == MFRC522_MODEL_UID)
			*bits = r->flip;
		return;
	case 3:
		if (what == MFRC522_MODEL_SAK)
			*bits = r->flip;
		return;
	case 4: /* the opposite of whether another level follows, with the right CRC */
		if (what == MFRC522_MODEL_SAK) {
			answer[0] ^= 4;
			crc ^= answer[0];
			for (int i = 0; i < 8; i++)
				crc = crc & 1 ? crc >> 1 ^ 0x8408 : crc >> 1;
			answer[1] = (uint8_t)crc;
			answer[2] = (uint8_t)(crc >> 8);
		}
		return;
	case 5: /* a mixture of two UIDs that shows no collision: its BCC is right, but no card has that UID */
		if (what == MFRC522_MODEL_UID) {
			answer[1] ^= 0x10;
			answer[4] ^= 0x10;
		}
		return;
	case 6: /* a bit of ErrorReg */
	case 7:
		if (what == (r->how == 6 ? MFRC522_MODEL_UID : MFRC522_MODEL_SAK))
			r->m.reg[0x06] |= (uint8_t)(1u << r->flip);
		return;
	default: /* other ATQA */
		if (what == MFRC522_MODEL_ATQA) {
			answer[0] ^= 0xFF;
			*bits = r->flip;
		}
	}
}

static void rig_tampered(struct rig *r, int how, unsigned flip)
{
	rig_start(r);
	r->how = how;
	r->flip = flip;
	r->m.tamper = tamper;
	r->m.tamper_ctx = r;
}

static void wrong_answers_are_not_a_card(void)
{
	struct rig r;

	for (int how = 0; how <= 7; how++) {
		unsigned from = how == 2 || how == 3 ? 1 : 0, to = how == 0   ? 40
		                                                   : how == 1 ? 24
		                                                   : how >= 6 ? 5
		                                                   : how >= 4 ? 1
		                                                              : 64;

		for (unsigned flip = from; flip < to; flip++) {
			/* this is the right length, or a collision, which another test covers */
			if (flip == (how == 2 ? 40 : how == 3 ? 24 : how == 6 ? 3 : 99))
				continue;
			for (int n = 4; n <= 10; n += 3) {
				rig_tampered(&r, how, flip);
				mfrc522_model_card(&r.m, n == 4 ? four : n == 7 ? seven : ten, (size_t)n);
				rig_run(&r, 2000);
				CHECK_EQ(r.cards, 0);
				CHECK_EQ(r.d.failures, 0);
				r.m.tamper = NULL; /* the interference ends */
				rig_run(&r, 300);
				CHECK_EQ(r.cards, 1);
			}
		}
	}
}

static void wrong_bcc_is_refused_even_if_the_card_insists(void)
{
	struct rig r;

	rig_start(&r);
	mfrc522_model_card(&r.m, seven, 7);
	r.m.card[0].lie = 0x01;
	rig_run(&r, 2000);
	CHECK_EQ(r.cards, 0);
}

static void collision_somewhere_is_no_card(void)
{
	struct rig r;
	uint32_t frames;

	rig_start(&r);
	r.no_position = true;
	mfrc522_model_card(&r.m, seven, 7);
	mfrc522_model_add(&r.m, ten, 10);
	rig_run(&r, 100);
	frames = r.m.frames;
	r.now += rig_step(&r);
	rig_run(&r, 2000);
	CHECK_EQ(r.cards, 0);
	CHECK(r.m.frames - frames < 2 * 2000 / 35);
}

static void level_that_cannot_be_is_no_card(void)
{
	struct rig r;

	for (unsigned level = 0; level < 256; level++) {
		if (level == 3 || level == 5)
			continue;
		rig_start(&r);
		r.wrong_level = true;
		r.level = (uint8_t)level;
		mfrc522_model_card(&r.m, seven, 7);
		rig_run(&r, 1000);
		CHECK_EQ(r.cards, 0);
	}
}

static void every_sak_is_accepted(void)
{
	struct rig r;

	static const uint8_t saks[] = { 0x00, 0x18, 0x20, 0x28, 0xFB };

	for (size_t i = 0; i < sizeof saks; i++) {
		rig_start(&r);
		mfrc522_model_card(&r.m, seven, 7);
		r.m.card[0].sak = saks[i];
		rig_run(&r, 300);
		CHECK_EQ(r.cards, 1);
	}
	for (unsigned bits = 1; bits <= 24; bits++) {
		rig_tampered(&r, 8, bits);
		mfrc522_model_card(&r.m, seven, 7);
		rig_run(&r, 300);
		CHECK_EQ(r.cards, 1);
	}
}

static void card_read_badly_stays_the_same_card(void)
{
	struct rig r;

	rig_tampered(&r, 1, 3);
	r.m.tamper = NULL;
	mfrc522_model_card(&r.m, seven, 7);
	rig_run(&r, 1000);
	r.m.tamper = tamper;
	rig_run(&r, 1000);
	r.m.tamper = NULL;
	mfrc522_model_card(&r.m, NULL, 0); /* the card loses its power for a moment */
	rig_run(&r, 50);
	mfrc522_model_card(&r.m, seven, 7);
	rig_run(&r, 1000);
	CHECK_EQ(r.cards, 1);
}

int main(void)
{
	wrong_answers_are_not_a_card();
	wrong_bcc_is_refused_even_if_the_card_insists();
	collision_somewhere_is_no_card();
	level_that_cannot_be_is_no_card();
	every_sak_is_accepted();
	card_read_badly_stays_the_same_card();
	return check_end("mfrc522_answers");
}
