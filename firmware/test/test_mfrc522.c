#include "../core/err.h"
#include "../core/mfrc522.h"
#include "check.h"
#include "mfrc522_model.h"

/* The driver on the model, with a clock that jumps to the next step. */
struct rig {
	struct mfrc522_model m;
	struct lk_mfrc522 d;
	struct lk_port port;
	uint32_t now, late;   /* each step runs up to so much late */
	uint32_t random;
	bool broken_spi, no_pin, no_position, wrong_level;
	uint8_t level; /* what FIFOLevelReg reads, if wrong_level */
	uint32_t fail_at; /* the transfer that reports an error, counted down */
	uint32_t released, first;   /* when the pin was let go, and the first transfer after it */
	uint32_t steps, most, logs; /* most transfers in one step */
	char log[80];
	uint8_t uid[10]; /* the latest card */
	int n;
	uint32_t at, read, cards;
	unsigned flip;  /* what the tamper functions below change */
	int how;
};

static const uint8_t four[4] = { 0x0A, 0x1B, 0x2C, 0x3D };
static const uint8_t seven[7] = { 0x04, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0x80 };
static const uint8_t ten[10] = { 0x05, 1, 2, 0x33, 4, 5, 0x88, 7, 8, 9 };

static int rig_spi(void *ctx, const uint8_t *tx, uint8_t *rx, size_t n)
{
	struct rig *r = ctx;

	if (r->broken_spi)
		return LK_EIO;
	if (r->first == 0)
		r->first = r->now - r->released;
	mfrc522_model_spi(&r->m, tx, rx, n);
	if (r->no_position && n == 6)
		rx[5] |= 0x20; /* CollPosNotValid */
	if (r->wrong_level && n == 6)
		rx[3] = r->level;
	return r->fail_at != 0 && --r->fail_at == 0 ? LK_EIO : 0;
}

static void rig_reset(void *ctx, bool held)
{
	struct rig *r = ctx;

	if (!r->no_pin)
		mfrc522_model_reset(&r->m, held);
	if (!held) {
		r->released = r->now;
		r->first = 0;
	}
}

static void rig_log(void *ctx, const char *text, uint32_t number)
{
	struct rig *r = ctx;

	(void)number;
	r->logs++;
	snprintf(r->log, sizeof r->log, "%s", text);
}

static uint32_t next_random(struct rig *r)
{
	r->random = r->random * 1664525u + 1013904223u;
	return r->random >> 8;
}

static void rig_start(struct rig *r)
{
	memset(r, 0, sizeof *r);
	mfrc522_model_init(&r->m);
	lk_mfrc522_init(&r->d);
	r->port.ctx = r;
	r->port.spi = rig_spi;
	r->port.chip_reset = rig_reset;
	r->port.log = rig_log;
	r->now = 0xFFFFFF00; /* the clock wraps soon */
	r->first = UINT32_MAX;
}

static uint32_t rig_step(struct rig *r)
{
	uint8_t uid[10];
	uint32_t at = 0, before = r->m.transfers, wait = lk_mfrc522_step(&r->d, &r->port, r->now);
	int n = lk_mfrc522_take(&r->d, uid, &at);

	r->steps++;
	r->most = r->m.transfers - before > r->most ? r->m.transfers - before : r->most;
	if (n != 0) {
		r->n = n;
		memcpy(r->uid, uid, (size_t)n);
		r->at = at;
		r->read = r->now;
		r->cards++;
	}
	return wait;
}

/* Lets ms pass. What holds always is checked here. */
static void rig_run(struct rig *r, uint32_t ms)
{
	uint32_t end = r->now + ms;

	for (;;) {
		uint32_t wait = rig_step(r);

		CHECK(wait >= 1 && wait <= 10240);
		if (r->late != 0)
			wait += next_random(r) % r->late;
		if ((int32_t)(r->now + wait - end) >= 0)
			break;
		r->now += wait;
	}
	r->now = end;
	CHECK(r->most <= LK_MFRC522_TRANSFERS);
	CHECK_EQ(r->m.misuse, 0);
	CHECK(r->first == 0 || r->first >= 10);
}

static bool is(const struct rig *r, const uint8_t *uid, size_t n)
{
	return (size_t)r->n == n && memcmp(r->uid, uid, n) == 0;
}

static void card_is_read_whole(const uint8_t *uid, size_t n)
{
	struct rig r;
	uint32_t placed;

	rig_start(&r);
	rig_run(&r, 1000);
	CHECK_EQ(r.cards, 0);
	CHECK_EQ(r.d.failures, 0);
	mfrc522_model_card(&r.m, uid, n);
	placed = r.now;
	rig_run(&r, 200);
	CHECK_EQ(r.cards, 1);
	CHECK(is(&r, uid, n));
	CHECK(r.at - placed <= 102);
	CHECK(r.read - r.at <= 20);
}

static void card_is_read_once_while_it_lies_there(const uint8_t *uid, size_t n)
{
	struct rig r;

	rig_start(&r);
	mfrc522_model_card(&r.m, uid, n);
	rig_run(&r, 3600 * 1000);
	CHECK_EQ(r.cards, 1);
	CHECK_EQ(r.m.resets, 1);
	CHECK_EQ(r.logs, 0);
	CHECK(r.steps < 3600 * 10 * (6 + n)); /* no tight polling */
}

static void card_is_new_after_it_was_away(void)
{
	struct rig r;

	rig_start(&r);
	for (uint32_t i = 1; i <= 20; i++) {
		mfrc522_model_card(&r.m, seven, 7);
		rig_run(&r, 500);
		CHECK_EQ(r.cards, i);
		mfrc522_model_card(&r.m, NULL, 0);
		rig_run(&r, 450);
	}
}

static void card_lifted_for_a_moment_is_not_new(void)
{
	struct rig r;

	rig_start(&r);
	for (uint32_t i = 0; i < 200; i++) {
		mfrc522_model_card(&r.m, NULL, 0);
		rig_run(&r, 3 * i % 200); /* power lost */
		mfrc522_model_card(&r.m, seven, 7);
		rig_run(&r, 300 + i);
	}
	CHECK_EQ(r.cards, 1);
}

static void another_card_is_new_at_once(void)
{
	struct rig r;

	rig_start(&r);
	for (uint32_t i = 1; i <= 20; i++) {
		mfrc522_model_card(&r.m, i % 2 ? seven : four, i % 2 ? 7 : 4);
		rig_run(&r, 250);
		CHECK_EQ(r.cards, i);
		CHECK(i % 2 ? is(&r, seven, 7) : is(&r, four, 4));
	}
}

static void card_left_on_the_reader_does_not_hide_the_next(void)
{
	struct rig r;

	rig_start(&r);
	mfrc522_model_card(&r.m, seven, 7);
	rig_run(&r, 5000);
	CHECK_EQ(r.cards, 1);
	for (uint32_t i = 1; i <= 5; i++) {
		mfrc522_model_add(&r.m, four, 4);
		rig_run(&r, 500);
		CHECK_EQ(r.cards, 1 + i);
		CHECK(is(&r, four, 4));
		mfrc522_model_remove(&r.m, four, 4);
		rig_run(&r, 1000);
		CHECK_EQ(r.cards, 1 + i);
	}
}

/* So many cards at once, with beginnings in common: what is read is always one of them, and up to three are all read. */
static void cards_never_mix(size_t count, uint32_t late, bool patient)
{
	struct rig r;
	uint8_t uid[MFRC522_MODEL_CARDS][10];
	uint32_t seed = (uint32_t)count + late;

	for (int round = 0; round < 300; round++) {
		unsigned read = 0;

		rig_start(&r);
		r.random = seed;
		r.late = late;
		r.m.patient = patient;
		rig_run(&r, 100);
		for (size_t i = 0; i < count; i++) {
			size_t same = i == 0 ? 0 : next_random(&r) % 81;
			size_t n = round % 2 ? 7 : 4 + 3 * (next_random(&r) % 3);

			for (size_t k = 0; k < 10; k++)
				uid[i][k] = (uint8_t)next_random(&r);
			for (size_t k = 0; k < same; k++)
				uid[i][k / 8] = (uint8_t)((uid[i][k / 8] & ~(1u << k % 8)) | (uid[0][k / 8] & 1u << k % 8));
			for (size_t k = 0; k <= 3; k += 3)
				if (uid[i][k] == 0x88) /* is no UID's */
					uid[i][k] = 0x87;
			if (same == 80 || (i != 0 && memcmp(uid[i], uid[0], 4) == 0))
				n = r.m.card[0].n;
			uid[i][n - 1] = (uint8_t)(uid[i][n - 1] & ~3u);
			uid[i][n - 1] = (uint8_t)(uid[i][n - 1] | i); /* at least somewhere they differ */
			mfrc522_model_add(&r.m, uid[i], n);
		}
		for (int t = 0; t < 200; t++) {
			uint32_t cards = r.cards;

			rig_run(&r, 10);
			if (r.cards == cards)
				continue;
			CHECK_EQ(r.cards, cards + 1);
			cards = 0;
			for (size_t i = 0; i < count; i++)
				if (is(&r, uid[i], r.m.card[i].n)) {
					read |= 1u << i;
					cards++;
				}
			CHECK_EQ(cards, 1);
		}
		if (count <= 3)
			CHECK_EQ(read, (1u << count) - 1);
		CHECK_EQ(r.cards, (uint32_t)__builtin_popcount(read)); /* each once */
		seed = r.random;
	}
}

static void two_copies_of_a_card_are_one(void)
{
	struct rig r;

	rig_start(&r);
	mfrc522_model_card(&r.m, seven, 7);
	mfrc522_model_add(&r.m, seven, 7);
	rig_run(&r, 5000);
	CHECK_EQ(r.cards, 1);
	CHECK(is(&r, seven, 7));
}

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
	case 2: /* UIDs of another length */
		if (what == MFRC522_MODEL_UID)
			*bits = r->flip;
		return;
	case 3:
		if (what == MFRC522_MODEL_SAK)
			*bits = r->flip;
		return;
	case 4: /* says the contrary of whether there is more, with the right CRC */
		if (what == MFRC522_MODEL_SAK) {
			answer[0] ^= 4;
			crc ^= answer[0];
			for (int i = 0; i < 8; i++)
				crc = crc & 1 ? crc >> 1 ^ 0x8408 : crc >> 1;
			answer[1] = (uint8_t)crc;
			answer[2] = (uint8_t)(crc >> 8);
		}
		return;
	case 5: /* a mixture that no collision shows: the BCC is right, but no card has that UID */
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
		unsigned from = how == 2 || how == 3 ? 1 : 0, to = how == 0 ? 40 : how == 1 ? 24 : how >= 6 ? 5 : how >= 4 ? 1 : 64;

		for (unsigned flip = from; flip < to; flip++) {
			if (flip == (how == 2 ? 40 : how == 3 ? 24 : how == 6 ? 3 : 99)) /* the right length, or another test's collision */
				continue;
			for (int n = 4; n <= 10; n += 3) {
				rig_tampered(&r, how, flip);
				mfrc522_model_card(&r.m, n == 4 ? four : n == 7 ? seven : ten, (size_t)n);
				rig_run(&r, 2000);
				CHECK_EQ(r.cards, 0);
				CHECK_EQ(r.d.failures, 0);
				r.m.tamper = NULL; /* the card lies better now */
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

static void kind_of_card_does_not_matter(void)
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
	mfrc522_model_card(&r.m, NULL, 0); /* and loses its power for a moment */
	rig_run(&r, 50);
	mfrc522_model_card(&r.m, seven, 7);
	rig_run(&r, 1000);
	CHECK_EQ(r.cards, 1);
}

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
	CHECK_EQ(r.cards, 1); /* it lay there all the time */
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
		CHECK(r.d.failures - resets >= 55 && r.d.failures - resets <= 60); /* every 10 s */
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
	CHECK(is(&r, ten, 10));
}

static void lost_register_is_noticed(void)
{
	static const struct {
		uint8_t reg, value;
	} lost[] = {
		{ 0x11, 0x3F }, { 0x11, 0x1D }, { 0x12, 0x80 }, { 0x12, 0x10 }, { 0x13, 0x80 }, { 0x13, 0x04 }, { 0x14, 0x80 }, { 0x14, 0x81 },
		{ 0x15, 0x00 }, { 0x26, 0x48 }, { 0x2A, 0x00 }, { 0x2B, 0x00 }, { 0x2C, 0x10 }, { 0x2D, 0x00 }, { 0x0E, 0x80 },
		{ 0x37, 0x00 }, { 0x37, 0xFF },
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
		r.m.reg[0x06] |= 0x40; /* TempErr stays */
	}
	CHECK(r.d.dead);
	CHECK_EQ(r.logs, 1);
	CHECK(r.d.failures >= 60 && r.d.failures <= 70);
}

static void chip_that_hears_nothing_is_set_up_anew_after_ten_minutes(void)
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

static void answer_may_take_its_time(void)
{
	struct rig r;

	for (uint32_t delay = 0; delay < 8; delay++) {
		rig_start(&r);
		r.m.delay = delay;
		mfrc522_model_card(&r.m, ten, 10);
		rig_run(&r, 1000);
		CHECK_EQ(r.cards, 1);
		CHECK_EQ(r.d.failures, 0);
		CHECK(is(&r, ten, 10));
		CHECK(r.read - r.at <= 14 * (1 + delay));
	}
	rig_start(&r);
	r.m.delay = 1000; /* never */
	rig_run(&r, 1000);
	CHECK(r.d.failures > 0);
}

static void late_steps_do_no_harm(void)
{
	struct rig r;

	for (uint32_t late = 1; late < 2000; late = late * 3 / 2 + 1) {
		rig_start(&r);
		r.late = late;
		rig_run(&r, 20000);
		for (uint32_t i = 1; i <= 3; i++) {
			uint32_t placed = r.now;

			mfrc522_model_card(&r.m, seven, 7);
			rig_run(&r, 200 + 14 * late);
			CHECK_EQ(r.cards, i);
			CHECK(r.at - placed <= 1u << 30); /* not before */
			CHECK(r.read - r.at <= 20 + 6 * late);
			mfrc522_model_card(&r.m, NULL, 0);
			rig_run(&r, 500 + 14 * late);
		}
		CHECK_EQ(r.d.failures, 0);
	}
}

static void early_steps_do_nothing(void)
{
	struct rig r;
	uint32_t wait, transfers;

	rig_start(&r);
	mfrc522_model_card(&r.m, seven, 7);
	rig_step(&r);
	CHECK(r.m.held);
	for (uint32_t t = 0; t < 2000; t++) {
		wait = rig_step(&r);
		transfers = r.m.transfers;
		if (wait > 1) {
			r.now++;
			CHECK_EQ(rig_step(&r), wait - 1);
			CHECK_EQ(r.m.transfers, transfers);
		} else {
			r.now += wait;
		}
	}
	CHECK_EQ(r.cards, 1);
}

static void card_is_taken_once(void)
{
	struct rig r;
	uint8_t uid[10];
	uint32_t at = 7;

	rig_start(&r);
	CHECK_EQ(lk_mfrc522_take(&r.d, uid, &at), 0);
	mfrc522_model_card(&r.m, seven, 7);
	for (int i = 0; i < 30; i++)
		r.now += lk_mfrc522_step(&r.d, &r.port, r.now);
	CHECK_EQ(at, 7);
	CHECK_EQ(lk_mfrc522_take(&r.d, uid, &at), 7);
	CHECK(memcmp(uid, seven, 7) == 0);
	CHECK_EQ(lk_mfrc522_take(&r.d, uid, &at), 0);
}

/* The model itself: it answers only those who do it right. */
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
	CHECK_EQ(model_reqa(&m, 0) & 0x21, 0x01); /* 8 bits are no REQA */
	CHECK_EQ(m.misuse, 0);
	CHECK_EQ(model_reqa(&m, 7) & 0x21, 0x20);
	CHECK_EQ(model_read(&m, 0x0A), 2);
	CHECK_EQ(model_read(&m, 0x09), 0x04);
	CHECK_EQ(model_read(&m, 0x09), 0x00);
	CHECK_EQ(m.misuse, 0);
	model_read(&m, 0x09); /* past the end */
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

int main(void)
{
	card_is_read_whole(four, 4);
	card_is_read_whole(seven, 7);
	card_is_read_whole(ten, 10);
	card_is_read_once_while_it_lies_there(four, 4);
	card_is_read_once_while_it_lies_there(seven, 7);
	card_is_read_once_while_it_lies_there(ten, 10);
	card_is_new_after_it_was_away();
	card_lifted_for_a_moment_is_not_new();
	another_card_is_new_at_once();
	card_left_on_the_reader_does_not_hide_the_next();
	for (size_t count = 2; count <= MFRC522_MODEL_CARDS; count++)
		for (unsigned late = 0; late <= 20; late += 20) {
			cards_never_mix(count, late, false);
			cards_never_mix(count, late, true);
		}
	two_copies_of_a_card_are_one();
	wrong_answers_are_not_a_card();
	wrong_bcc_is_refused_even_if_the_card_insists();
	collision_somewhere_is_no_card();
	level_that_cannot_be_is_no_card();
	kind_of_card_does_not_matter();
	card_read_badly_stays_the_same_card();
	deaf_chip_is_set_up_anew(MFRC522_MODEL_DEAF);
	deaf_chip_is_set_up_anew(MFRC522_MODEL_STUCK);
	dead_chip_is_reported_once_and_comes_back(MFRC522_MODEL_DEAD);
	dead_chip_is_reported_once_and_comes_back(MFRC522_MODEL_ONES);
	dead_chip_is_reported_once_and_comes_back(-1); /* the board's SPI fails */
	chip_that_is_not_there_at_the_start_is_found_later();
	lost_register_is_noticed();
	hot_chip_is_left_alone_for_a_while();
	chip_that_hears_nothing_is_set_up_anew_after_ten_minutes();
	chip_that_reads_now_and_then_is_left_alone();
	board_without_the_pin_resets_by_command();
	failed_transfer_counts_once();
	answer_may_take_its_time();
	late_steps_do_no_harm();
	early_steps_do_nothing();
	card_is_taken_once();
	model_is_strict();
	return check_end("mfrc522");
}
