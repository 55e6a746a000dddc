/* Cards are read whole, once, and never mixed, however late the driver's steps are. */
#include "mfrc522_rig.h"

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
	CHECK(read_card_is(&r, uid, n));
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
	CHECK(r.steps < 3600 * 10 * (6 + n)); /* it does not poll in a tight loop */
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
		CHECK(i % 2 ? read_card_is(&r, seven, 7) : read_card_is(&r, four, 4));
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
		CHECK(read_card_is(&r, four, 4));
		mfrc522_model_remove(&r.m, four, 4);
		rig_run(&r, 1000);
		CHECK_EQ(r.cards, 1 + i);
	}
}

/* Several cards at once whose UIDs begin alike: each UID that is read is one of theirs, and up to
 * three cards are all read. */
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
				if (uid[i][k] == 0x88) /* the cascade tag, which no UID has here */
					uid[i][k] = 0x87;
			if (same == 80 || (i != 0 && memcmp(uid[i], uid[0], 4) == 0))
				n = r.m.card[0].n;
			uid[i][n - 1] = (uint8_t)(uid[i][n - 1] & ~3u);
			uid[i][n - 1] = (uint8_t)(uid[i][n - 1] | i); /* so that all differ */
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
				if (read_card_is(&r, uid[i], r.m.card[i].n)) {
					read |= 1u << i;
					cards++;
				}
			CHECK_EQ(cards, 1);
		}
		if (count <= 3)
			CHECK_EQ(read, (1u << count) - 1);
		CHECK_EQ(r.cards, (uint32_t)__builtin_popcount(read)); /* each was read once */
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
	CHECK(read_card_is(&r, seven, 7));
}

static void answer_may_be_slow(void)
{
	struct rig r;

	for (uint32_t delay = 0; delay < 8; delay++) {
		rig_start(&r);
		r.m.delay = delay;
		mfrc522_model_card(&r.m, ten, 10);
		rig_run(&r, 1000);
		CHECK_EQ(r.cards, 1);
		CHECK_EQ(r.d.failures, 0);
		CHECK(read_card_is(&r, ten, 10));
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
			CHECK(r.at - placed <= 1u << 30); /* not before the card was there */
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
	answer_may_be_slow();
	late_steps_do_no_harm();
	early_steps_do_nothing();
	card_is_taken_once();
	return check_end("mfrc522");
}
