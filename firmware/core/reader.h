/* The role of a card reader: it asks the gateway about each card. */
#ifndef LK_READER_H
#define LK_READER_H

#include "mfrc522.h"
#include "unit.h"

struct lk_reader {
	struct lk_unit unit;
	struct lk_mfrc522 chip;
};

extern const struct lk_role lk_role_reader;

/* The functions of the role, for roles that are a reader and more. */
void lk_reader_start(struct lk_unit *u, uint32_t now);
uint32_t lk_reader_step(struct lk_unit *u, uint32_t now);

#endif
