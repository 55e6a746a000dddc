#include "mfrc522_card.h"

#include <string.h>

/* States of a card, ISO 14443-3 chapter 6.2: with halted they are HALT, READY*, ACTIVE*. */
enum { IDLE, READY, ACTIVE };

uint16_t mfrc522_card_crc(const uint8_t *b, size_t n, uint16_t crc)
{
	for (size_t i = 0; i < n; i++) {
		crc = (uint16_t)(crc ^ b[i]);
		for (int k = 0; k < 8; k++)
			crc = (uint16_t)(crc & 1 ? crc >> 1 ^ 0x8408 : crc >> 1);
	}
	return crc;
}

void mfrc522_card_leave_field(struct mfrc522_model_card *c)
{
	c->state = IDLE;
	c->halted = false;
}

size_t mfrc522_card_hear(struct mfrc522_model_card *c, const uint8_t *f, size_t bits, bool patient,
	uint8_t answer[MFRC522_CARD_ANSWER], enum mfrc522_model_answer *what)
{
	uint8_t part[5];
	size_t at = 3u * c->level, known;
	bool more = at + 4 < c->n;
	uint8_t state = c->state;

	c->state = IDLE;
	if (bits == 7) {
		if (state != IDLE || ((f[0] & 0x7F) != 0x52 && ((f[0] & 0x7F) != 0x26 || c->halted)))
			return 0;
		c->state = READY;
		c->level = 0;
		answer[0] = c->n == 4 ? 0x04 : c->n == 7 ? 0x44 : 0x84;
		answer[1] = 0;
		*what = MFRC522_MODEL_ATQA;
		return 16;
	}
	if (state == ACTIVE) {
		if (bits == 32 && f[0] == 0x50 && f[1] == 0 && mfrc522_card_crc(f, 4, 0x6363) == 0)
			c->halted = true;
		return 0;
	}
	if (state != READY || bits < 16)
		return 0;
	c->state = patient && f[0] != 0x50 ? READY : IDLE;
	if (f[0] != 0x93 + 2 * c->level)
		return 0;

	part[0] = 0x88;
	memcpy(part + more, c->uid + at, more ? 3 : 4);
	part[4] = part[0] ^ part[1] ^ part[2] ^ part[3] ^ c->lie;
	if (f[1] == 0x70) {
		if (bits != 72 || memcmp(f + 2, part, 5) != 0 || mfrc522_card_crc(f, 9, 0x6363) != 0)
			return 0;
		c->state = more ? READY : ACTIVE;
		c->level = (uint8_t)(c->level + more);
		answer[0] = more ? 0x04 : c->sak;
		known = mfrc522_card_crc(answer, 1, 0x6363);
		answer[1] = (uint8_t)known;
		answer[2] = (uint8_t)(known >> 8);
		*what = MFRC522_MODEL_SAK;
		return 24;
	}
	known = bits - 16;
	if (known >= 40 || f[1] != 0x20 + (known / 8 << 4) + known % 8)
		return 0;
	for (size_t i = 0; i < known; i++)
		if (mfrc522_card_bit(f + 2, i) != mfrc522_card_bit(part, i))
			return 0;
	c->state = READY;
	memset(answer, 0, MFRC522_CARD_ANSWER);
	for (size_t i = known, to = 0; i < 40; i++, to++)
		answer[to / 8] = (uint8_t)(answer[to / 8] | mfrc522_card_bit(part, i) << to % 8);
	*what = MFRC522_MODEL_UID;
	return 40 - known;
}
