/* How long the driver waits, and for what. */
#include "mfrc522_rig.h"

static struct rig r;

/* The reset pin, the crystal and the field take their times. Then comes the first card. */
static void start_waits_as_long_as_needed_and_not_longer(void)
{
	uint32_t start;

	rig_start(&r);
	mfrc522_model_card(&r.m, seven, sizeof seven);
	start = r.now;
	CHECK_EQ(rig_step(&r), 10); /* the data sheet asks for 100 ns */
	CHECK(r.m.held);
	r.now += 10;
	/* The data sheet has no time for the start of the crystal, only the 38 us that the chip needs
	 * after it (chapter 8.8). Common drivers wait for 50 ms. */
	CHECK_EQ(rig_step(&r), 50);
	CHECK(!r.m.held);
	r.now += 50;
	/* A card must be ready 5 ms after the field is on (ISO 14443-3, chapter 5). The driver waits
	 * for twice that. */
	CHECK_EQ(rig_step(&r), 2 * 5);
	CHECK_EQ(r.m.reg[0x14] & 3, 3);
	CHECK_EQ(r.m.frames, 0);
	r.now += 10;
	rig_poll(&r);
	CHECK_EQ(r.cards, 1);
	CHECK(r.read - start <= 100); /* fast enough for a battery reader that a card woke */
}

/* Each pause is twice as long as the one before, up to 10 s. The first answer resets it. */
static void pauses_grow_with_the_failures_in_a_row(void)
{
	uint32_t pause = 10, wait = 0;

	rig_start(&r);
	mfrc522_model_break(&r.m, MFRC522_MODEL_DEAD);
	for (int i = 0; i < 13; i++) {
		CHECK_EQ(rig_step(&r), pause);
		CHECK(r.m.held);
		r.now += pause;
		r.now += rig_step(&r);
		CHECK(!r.m.held);
		r.now += rig_step(&r);
		pause = pause < 10240 ? 2 * pause : pause;
	}
	mfrc522_model_break(&r.m, MFRC522_MODEL_OK);
	rig_run(&r, 20 * 1000);
	CHECK(!r.d.dead);
	mfrc522_model_break(&r.m, MFRC522_MODEL_DEAF);
	for (; !r.m.held; r.now += wait)
		wait = rig_step(&r);
	CHECK_EQ(wait, 20);
}

/* A frame ends with its answer or the timer within 5 ms. After 20 ms neither will come. */
static void command_that_does_not_end_is_abandoned_after_20_ms(void)
{
	for (uint32_t ms = 19; ms <= 20; ms++) {
		rig_start(&r);
		rig_run(&r, 1000);
		mfrc522_model_break(&r.m, MFRC522_MODEL_STUCK);
		for (uint32_t frames = r.m.frames; r.m.frames == frames;)
			r.now += rig_step(&r);
		r.now = r.sent + ms;
		rig_step(&r);
		CHECK_EQ(r.d.failures, ms == 20);
	}
}

enum bad {
	GOOD,
	BCC,
	SHORT,
	PARTIAL,
	SAK_CRC,
	SAK_CONTRARY,
	SAK_SHORT,
	LEVEL_0,
	LEVEL_6,
	PARITY,
	SAK_PARITY,
	BADS
};

static void tamper(void *ctx, enum mfrc522_model_answer what, uint8_t *answer, size_t *bits)
{
	bool sak = what == MFRC522_MODEL_SAK, uid = what == MFRC522_MODEL_UID;

	switch (*(enum bad *)ctx) {
	case BCC:
		answer[4] ^= uid;
		return;
	case SHORT:
		*bits = uid ? 32 : *bits;
		return;
	case PARTIAL:
		*bits = uid ? 39 : *bits;
		return;
	case SAK_CRC:
		answer[2] ^= sak;
		return;
	case SAK_CONTRARY: /* 04 and its CRC: another level follows */
		if (sak)
			memcpy(answer, (const uint8_t[]){ 0x04, 0xDA, 0x17 }, 3);
		return;
	case SAK_SHORT:
		*bits = sak ? 8 : *bits;
		return;
	case PARITY:
		r.m.reg[0x06] |= uid ? 0x02 : 0;
		return;
	case SAK_PARITY:
		r.m.reg[0x06] |= sak ? 0x02 : 0;
		return;
	default:
		return;
	}
}

/* A card that is still approaching is tried again before the 100 ms of a poll are over. But a card
 * that cannot be read must not keep the node busy, because the node must serve WiFi. */
static void card_that_cannot_be_read_is_tried_again_after_30_ms(void)
{
	for (enum bad bad = GOOD; bad < BADS; bad++) {
		uint32_t frames, sent;

		rig_start(&r);
		r.m.tamper = tamper;
		r.m.tamper_ctx = &bad;
		r.wrong_level = bad == LEVEL_0 || bad == LEVEL_6;
		r.level = bad == LEVEL_0 ? 0 : 6;
		rig_run(&r, 1000);
		mfrc522_model_card(&r.m, four, sizeof four);
		frames = r.m.frames;
		while (r.m.frames == frames)
			r.now += rig_step(&r);
		CHECK_EQ(rig_poll(&r), bad == GOOD ? 100 : 30);
		CHECK_EQ(r.cards, bad == GOOD);
		if (bad == GOOD)
			continue;
		sent = r.sent;
		r.m.tamper = NULL;
		r.wrong_level = false;
		mfrc522_model_card(&r.m, four, sizeof four); /* the card lost the field for a moment */
		rig_poll(&r);
		CHECK_EQ(r.cards, 1);
		CHECK_EQ(r.at - sent, 2 + 30);
	}
}

/* A card that lies there has been halted, so each poll wakes it with WUPA and selects it by its
 * UID. */
static void card_is_gone_after_three_polls(void)
{
	for (uint32_t away = 1; away <= 5; away++) {
		rig_start(&r);
		rig_run(&r, 1000);
		CHECK_EQ(r.wupa, 0); /* no card was there */
		mfrc522_model_card(&r.m, seven, sizeof seven);
		while (r.cards == 0)
			rig_poll(&r);
		CHECK_EQ(r.wupa, 0);
		for (uint32_t i = 1; i <= 10; i++) {
			CHECK_EQ(rig_poll(&r), 100);
			CHECK_EQ(r.wupa, i);
		}
		mfrc522_model_card(&r.m, NULL, 0);
		for (uint32_t i = 1; i <= away; i++) {
			uint32_t frames = r.m.frames;

			CHECK_EQ(rig_poll(&r), 100);
			CHECK_EQ(r.m.frames - frames, i <= 3 ? 2 : 1);
			CHECK_EQ(r.wupa, 10 + (i <= 3 ? i : 3));
		}
		mfrc522_model_card(&r.m, seven, sizeof seven);
		CHECK_EQ(rig_poll(&r), 100);
		CHECK_EQ(r.cards, away < 3 ? 1 : 2);
	}
}

/* No register shows that a receiver has gone deaf, so the chip is set up anew after ten minutes
 * without a card: 6000 polls. */
static void six_thousand_polls_without_a_card_are_enough(void)
{
	uint32_t reqa;

	rig_start(&r);
	for (uint32_t resets = 1; resets <= 2; resets++) { /* after the start, and after that reset */
		reqa = r.reqa;
		while (r.m.resets <= resets)
			r.now += rig_step(&r);
		CHECK_EQ(r.reqa - reqa, 6000);
	}
	rig_run(&r, 60 * 1000);
	mfrc522_model_card(&r.m, four, sizeof four);
	while (r.cards == 0)
		rig_poll(&r);
	mfrc522_model_card(&r.m, NULL, 0);
	reqa = r.reqa;
	while (r.m.resets == 3)
		r.now += rig_step(&r);
	CHECK_EQ(r.reqa - reqa, 6000);
	CHECK_EQ(r.d.failures, 0);
}

int main(void)
{
	start_waits_as_long_as_needed_and_not_longer();
	pauses_grow_with_the_failures_in_a_row();
	command_that_does_not_end_is_abandoned_after_20_ms();
	card_that_cannot_be_read_is_tried_again_after_30_ms();
	card_is_gone_after_three_polls();
	six_thousand_polls_without_a_card_are_enough();
	return check_end("mfrc522_times");
}
