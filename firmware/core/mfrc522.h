/*
 * The card reader: NXP's MFRC522 over SPI. It reads only the UID of ISO 14443-3 type A cards, and
 * never blocks.
 *
 * Each step is a few short SPI transfers (LK_MFRC522_TRANSFERS at most), and a frame's answer is
 * collected in the next step, so a UID of 7 bytes takes about 10 ms. A poll sends REQA, which cards
 * that were read and halted do not answer. Only if nothing could be read and a card was there
 * before, the poll sends WUPA and selects that card. So a new card is read even if another one
 * stays on the reader.
 *
 * A UID is delivered once, when its card comes. The card is new again after three polls without it,
 * 300 ms. Of two cards at once one is read and halted, then the other. A UID counts only when one
 * card has accepted it whole, so the UIDs of two cards are never mixed; of four or more at once
 * possibly none is read. Random UIDs, which begin with 0x08, are delivered like any other: the
 * policy does not know them.
 *
 * Before each poll the registers are compared with what was written. If they differ, or a command
 * does not end, the chip is reset by its pin and set up anew, each time after a longer pause, up to
 * 10 s. It is also set up anew after ten minutes without a card, because no register shows a
 * receiver that does not receive any more. VersionReg is not compared with a list, because working
 * clones have other values.
 */
#ifndef LK_MFRC522_H
#define LK_MFRC522_H

#include "port.h"

enum { LK_MFRC522_TRANSFERS = 16 };

struct lk_mfrc522 {
	/* For others to read. */
	uint32_t failures; /* how often the chip had to be set up anew because it failed */
	bool dead;         /* it failed five times in a row; logged when it changes */
	uint8_t version;   /* VersionReg, 0x92 in most */

	/* The driver's own. */
	const struct lk_port *port; /* and now: this step's */
	uint32_t now, due, began, sent, at;
	uint16_t quiet; /* polls since a card was there */
	uint8_t state;
	uint8_t tries; /* failures in a row */
	bool io;       /* a transfer failed in this step */

	bool check;        /* this poll looks for the card that was there */
	uint8_t cascade;   /* level, 0…2 */
	uint8_t known;     /* bits of this level that are settled */
	uint8_t pick;      /* the bit to go on with after a collision */
	uint8_t uid[3][5]; /* as far as read: of each level four bytes and their BCC */

	uint8_t last[3][5]; /* the card that is there, or was */
	uint8_t last_level; /* its highest */
	uint8_t misses;     /* polls without it */
	bool fresh;         /* not yet taken */
};

void lk_mfrc522_init(struct lk_mfrc522 *d);

/* Does what is due at now and returns in how many ms to call again, at most 10240. An earlier
 * call does nothing, a later one does no harm. */
uint32_t lk_mfrc522_step(struct lk_mfrc522 *d, const struct lk_port *port, uint32_t now);

/* The length of a new card's UID (4, 7 or 10), once per card, else 0. at is when the poll that read
 * it began, so not later than the card was there. Take after each step: only the latest card is
 * kept. */
int lk_mfrc522_take(struct lk_mfrc522 *d, uint8_t uid[10], uint32_t *at);

#endif
