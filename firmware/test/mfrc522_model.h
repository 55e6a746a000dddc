/*
 * A model of the MFRC522, register by register, and of the ISO 14443-3 type A cards in its field,
 * for tests and for boards without the chip.
 *
 * It has no clock: an answer arrives, or the timer expires, a number of SPI transfers after
 * StartSend (delay, 0 unless a test sets it). It is strict: no card answers without a field, 100 %
 * ASK, 106 kbit/s and a timer that is long enough; it clears a bit by itself only where the data
 * sheet says so; and it counts in misuse whatever the data sheet forbids, such as a change of
 * reserved bits. The caller owns the memory and calls init first.
 */
#ifndef LK_MFRC522_MODEL_H
#define LK_MFRC522_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mfrc522_card.h"

enum { MFRC522_MODEL_CARDS = 4, MFRC522_MODEL_FIFO = 64 };

/* Ways to break the chip, for mfrc522_model_break. */
enum {
	MFRC522_MODEL_OK = 0,
	MFRC522_MODEL_DEAF = 1,  /* has lost its registers and receives no card, until the reset pin is pulled */
	MFRC522_MODEL_DEAD = 2,  /* reads as 0x00 and ignores writes, until it is made OK again */
	MFRC522_MODEL_ONES = 3,  /* the same, reads as 0xFF */
	/* keeps its registers, but no command ends, until the reset pin is pulled */
	MFRC522_MODEL_STUCK = 4,
	MFRC522_MODEL_MUTE = 5,  /* keeps its registers and receives no card, until the reset pin is pulled */
};

struct mfrc522_model {
	uint8_t reg[64];
	uint8_t fifo[MFRC522_MODEL_FIFO];
	uint8_t level;
	struct mfrc522_model_card card[MFRC522_MODEL_CARDS];
	int how;
	bool held;
	uint32_t pending; /* SPI transfers until the answer arrives, plus one; 0: no frame is under way */
	uint8_t coming;   /* the bits that ComIrqReg gets then */
	bool started;     /* StartSend was set and not cleared */

	/* For tests to set. */
	uint32_t delay;
	bool patient; /* a READY card stays READY when another is asked, as in older editions of the standard */
	/* answer has room for 8 bytes */
	void (*tamper)(void *ctx, enum mfrc522_model_answer what, uint8_t *answer, size_t *bits);
	void *tamper_ctx;

	/* For tests to read. */
	uint32_t misuse, transfers, frames, resets;
};

void mfrc522_model_init(struct mfrc522_model *m);
/* Sets the reset pin. While it is held the chip reads as 0x00, there is no field, and each transfer
 * counts as misuse. */
void mfrc522_model_reset(struct mfrc522_model *m, bool held);
/* Puts this card alone on the reader; n 0: no card. If the same card was there before, it loses the
 * field for a moment. */
void mfrc522_model_card(struct mfrc522_model *m, const uint8_t *uid, size_t n);
/* Puts one more card on the reader. */
void mfrc522_model_add(struct mfrc522_model *m, const uint8_t *uid, size_t n);
/* Takes this card away; the others stay. */
void mfrc522_model_remove(struct mfrc522_model *m, const uint8_t *uid, size_t n);
void mfrc522_model_break(struct mfrc522_model *m, int how);
/* Sets the registers as after a reset. The chip keeps working. */
void mfrc522_model_forget(struct mfrc522_model *m);
/* Makes one transfer with chip select low. rx may be tx. */
void mfrc522_model_spi(struct mfrc522_model *m, const uint8_t *tx, uint8_t *rx, size_t n);

#endif
