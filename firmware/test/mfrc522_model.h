/*
 * A model of the MFRC522 down to its registers, and of the ISO 14443-3 type A cards in its field,
 * for tests and for boards without one.
 *
 * It has no clock: a frame is answered, or the timer has run out, delay SPI transfers after
 * StartSend, 0 unless a test sets it. It is strict: without a field, 100 % ASK, 106 kbit/s or a
 * timer long enough no card answers; nothing is cleared by itself unless the data sheet says so;
 * and what it forbids is counted in misuse, reserved bits among it. Memory is the caller's; init
 * comes first.
 */
#ifndef LK_MFRC522_MODEL_H
#define LK_MFRC522_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mfrc522_card.h"

enum { MFRC522_MODEL_CARDS = 4, MFRC522_MODEL_FIFO = 64 };

/* What mfrc522_model_break takes. */
enum {
	MFRC522_MODEL_OK = 0,
	MFRC522_MODEL_DEAF = 1,  /* has lost its registers and hears no card, until the reset pin is pulled */
	MFRC522_MODEL_DEAD = 2,  /* reads as 0x00 and takes nothing, until it is made ok */
	MFRC522_MODEL_ONES = 3,  /* the same, reads as 0xFF */
	/* holds its registers, but no command ever ends, until the reset pin is pulled */
	MFRC522_MODEL_STUCK = 4,
	MFRC522_MODEL_MUTE = 5,  /* holds its registers and hears no card, until the reset pin is pulled */
};

struct mfrc522_model {
	uint8_t reg[64];
	uint8_t fifo[MFRC522_MODEL_FIFO];
	uint8_t level;
	struct mfrc522_model_card card[MFRC522_MODEL_CARDS];
	int how;
	bool held;
	uint32_t pending; /* transfers until the frame ends, plus one; 0: none under way */
	uint8_t coming;   /* what it then sets in ComIrqReg */
	bool started;     /* StartSend was written and not cleared */

	/* For tests to set. */
	uint32_t delay;
	bool patient; /* a READY card waits on when others are asked, as in the standard's older editions */
	/* answer has room for 8 bytes */
	void (*tamper)(void *ctx, enum mfrc522_model_answer what, uint8_t *answer, size_t *bits);
	void *tamper_ctx;

	/* For tests to read. */
	uint32_t misuse, transfers, frames, resets;
};

void mfrc522_model_init(struct mfrc522_model *m);
/* The reset pin. While it is held the chip reads as 0x00, there is no field and each transfer
 * counts as misuse. */
void mfrc522_model_reset(struct mfrc522_model *m, bool held);
/* That card lies on the reader and no other; n 0: none. A card that lay there before was lifted for
 * a moment. */
void mfrc522_model_card(struct mfrc522_model *m, const uint8_t *uid, size_t n);
/* One more card lies there. */
void mfrc522_model_add(struct mfrc522_model *m, const uint8_t *uid, size_t n);
/* That card is taken away, the others stay. */
void mfrc522_model_remove(struct mfrc522_model *m, const uint8_t *uid, size_t n);
void mfrc522_model_break(struct mfrc522_model *m, int how);
/* The registers are as after a reset; the chip works on. */
void mfrc522_model_forget(struct mfrc522_model *m);
/* One transfer with chip select low. rx may be tx. */
void mfrc522_model_spi(struct mfrc522_model *m, const uint8_t *tx, uint8_t *rx, size_t n);

#endif
