/* A card in the field of the model, by ISO 14443-3 type A: what it hears and what it answers. */
#ifndef LK_MFRC522_CARD_H
#define LK_MFRC522_CARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MFRC522_CARD_ANSWER = 8 }; /* bytes of the longest answer */

/* What a card answers, before it is mixed with what the others answer. */
enum mfrc522_model_answer {
	MFRC522_MODEL_ATQA,
	MFRC522_MODEL_UID, /* anticollision: the rest of one level and its BCC */
	MFRC522_MODEL_SAK,
};

struct mfrc522_model_card {
	uint8_t uid[10];
	uint8_t n;     /* 4, 7 or 10; 0: no card */
	uint8_t state; /* ISO 14443-3, chapter 6.2 */
	uint8_t level; /* of the cascade, 0…2 */
	bool halted;   /* the states with a star */
	uint8_t sak;   /* the last level's, 0x08 unless a test sets it */
	uint8_t lie;   /* exclusive-ored with each BCC, and expected so */
};

/* CRC_A over n bytes, from a start value on. */
uint16_t mfrc522_card_crc(const uint8_t *b, size_t n, uint16_t crc);

/* Bit i of what goes through the air: of each byte the lowest goes first. */
static inline unsigned mfrc522_card_bit(const uint8_t *b, size_t i)
{
	return (unsigned)b[i / 8] >> i % 8 & 1;
}

/* The field is gone: a card forgets all. */
void mfrc522_card_leave_field(struct mfrc522_model_card *c);

/* A card hears a frame of that many bits: how many bits it answers, and what that is. What is not
 * for it sends it back to IDLE or HALT. A patient one that is READY waits on when others are
 * asked. */
size_t mfrc522_card_hear(struct mfrc522_model_card *c, const uint8_t *frame, size_t bits, bool patient,
	uint8_t answer[MFRC522_CARD_ANSWER], enum mfrc522_model_answer *what);

#endif
