/* The model of the MFRC522 on a fake board. Include it once in a program: it holds the chip. */
#ifndef LK_BOARD_CHIP_H
#define LK_BOARD_CHIP_H

#include "fake_port.h"
#include "mfrc522_model.h"

static struct mfrc522_model chip;

static inline int chip_spi(void *ctx, const uint8_t *tx, uint8_t *rx, size_t n)
{
	mfrc522_model_spi(ctx, tx, rx, n);
	return 0;
}

static inline void chip_reset(void *ctx, bool held)
{
	(void)ctx;
	mfrc522_model_reset(&chip, held);
}

/* Puts a new chip on the board. */
static inline void fit_chip(struct fake_port *f)
{
	mfrc522_model_init(&chip);
	f->spi = chip_spi;
	f->spi_ctx = &chip;
	f->port.chip_reset = chip_reset;
}

#endif
