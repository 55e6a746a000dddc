/* A card in the reader's field, by ISO 14443-3 type A: how it answers the frames it receives. */
#ifndef LK_MFRC522_CARD_H
#define LK_MFRC522_CARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MFRC522_CARD_ANSWER = 8 }; /* bytes of the longest answer */

/* The kind of a card's answer, before the answers of several cards are mixed. */
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
	bool halted;   /* whether the state is one of those with a star */
	uint8_t sak;   /* of the last level; 0x08 unless a test sets it */
	uint8_t lie;   /* exclusive-ored into each BCC that the card sends or expects, to make it wrong */
};

/* CRC_A over n bytes, beginning with the value crc. */
uint16_t mfrc522_card_crc(const uint8_t *b, size_t n, uint16_t crc);

/* Bit i as it is transmitted: the lowest bit of each byte comes first. */
static inline unsigned mfrc522_card_bit(const uint8_t *b, size_t i)
{
	return (unsigned)b[i / 8] >> i % 8 & 1;
}

/* The field is off: the card loses its state. */
void mfrc522_card_leave_field(struct mfrc522_model_card *c);

/* Gives the card a frame of that many bits. Returns how many bits it answers, with the answer and
 * its kind. A frame for another card sends it back to IDLE or HALT; a patient card that is READY
 * stays READY then. */
size_t mfrc522_card_hear(struct mfrc522_model_card *c, const uint8_t *frame, size_t bits, bool patient,
	uint8_t answer[MFRC522_CARD_ANSWER], enum mfrc522_model_answer *what);

#endif
