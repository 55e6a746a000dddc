/* A card reader: the driver and the model of its chip, with a clock that jumps to the next step. */
#ifndef LK_MFRC522_RIG_H
#define LK_MFRC522_RIG_H

#include "../core/err.h"
#include "../core/mfrc522.h"
#include "check.h"
#include "mfrc522_model.h"

struct rig {
	struct mfrc522_model m;
	struct lk_mfrc522 d;
	struct lk_port port;
	uint32_t now, late;   /* each step runs up to late ms too late */
	uint32_t random;
	bool broken_spi, no_pin, no_position, wrong_level, wrong_error;
	uint8_t level;           /* what FIFOLevelReg reads, if wrong_level */
	uint8_t error, position; /* what ErrorReg and CollReg read, if wrong_error */
	uint32_t fail_at; /* counts transfers down; the one that reaches 0 fails */
	uint32_t released, first;   /* when the reset pin was released, and how soon the first transfer came */
	uint8_t frame[64];          /* the newest frame; below, how many REQA and WUPA were sent */
	uint32_t reqa, wupa, sent; /* sent: the time of the newest frame */
	uint32_t soonest;          /* the shortest time from a frame until the driver looked for its answer */
	uint32_t steps, most, logs; /* most: transfers in one step */
	char log[80];
	uint8_t uid[10]; /* the card that was read last */
	int n;
	uint32_t at, read, cards;
	unsigned flip;  /* for the tamper functions of the tests */
	int how;
};

static const uint8_t four[4] = { 0x0A, 0x1B, 0x2C, 0x3D };
static const uint8_t seven[7] = { 0x04, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0x80 };
static const uint8_t ten[10] = { 0x05, 1, 2, 0x33, 4, 5, 0x88, 7, 8, 9 };

static inline int rig_spi(void *ctx, const uint8_t *tx, uint8_t *rx, size_t n)
{
	struct rig *r = ctx;

	if (r->broken_spi)
		return LK_EIO;
	if (r->first == 0)
		r->first = r->now - r->released;
	if (tx[0] == 0x09 << 1) { /* FIFODataReg is written */
		memcpy(r->frame, tx + 1, n - 1);
		r->reqa += n == 2 && tx[1] == 0x26;
		r->wupa += n == 2 && tx[1] == 0x52;
	}
	if (tx[0] == 0x0D << 1 && tx[1] & 0x80) /* StartSend */
		r->sent = r->now;
	if (tx[0] == (0x80 | 0x04 << 1) && r->now - r->sent < r->soonest) /* ComIrqReg is read */
		r->soonest = r->now - r->sent;
	mfrc522_model_spi(&r->m, tx, rx, n);
	if (r->no_position && n == 6)
		rx[5] |= 0x20; /* CollPosNotValid */
	if (r->wrong_level && n == 6)
		rx[3] = r->level;
	if (r->wrong_error && n == 6) {
		rx[2] = r->error;
		rx[5] = r->position;
	}
	return r->fail_at != 0 && --r->fail_at == 0 ? LK_EIO : 0;
}

static inline void rig_reset(void *ctx, bool held)
{
	struct rig *r = ctx;

	if (!r->no_pin)
		mfrc522_model_reset(&r->m, held);
	if (!held) {
		r->released = r->now;
		r->first = 0;
	}
}

static inline void rig_log(void *ctx, const char *text, uint32_t number)
{
	struct rig *r = ctx;

	(void)number;
	r->logs++;
	snprintf(r->log, sizeof r->log, "%s", text);
}

static inline uint32_t next_random(struct rig *r)
{
	r->random = r->random * 1664525u + 1013904223u;
	return r->random >> 8;
}

static inline void rig_start(struct rig *r)
{
	memset(r, 0, sizeof *r);
	mfrc522_model_init(&r->m);
	lk_mfrc522_init(&r->d);
	r->port.ctx = r->port.own = r;
	r->port.spi = rig_spi;
	r->port.chip_reset = rig_reset;
	r->port.log = rig_log;
	r->now = 0xFFFFFF00; /* the clock wraps soon */
	r->first = UINT32_MAX;
	r->soonest = UINT32_MAX;
}

static inline uint32_t rig_step(struct rig *r)
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

/* Runs steps until one waits for something other than the answer to a frame. Returns how long it
 * waits. */
static inline uint32_t rig_poll(struct rig *r)
{
	uint32_t wait = 0;

	for (int i = 0; i < 100 && wait < 10; i++) {
		wait = rig_step(r);
		r->now += wait;
	}
	return wait;
}

/* Runs the driver for ms, and checks what must always hold. */
static inline void rig_run(struct rig *r, uint32_t ms)
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
	CHECK(r->first == 0 || r->first >= 50);
	/* A select and its answer take 1.4 ms: 9 and 3 bytes of 9 bits at 106 kbit/s, and 86 us between
	 * them. */
	CHECK(r->soonest >= 2);
}

static inline bool read_card_is(const struct rig *r, const uint8_t *uid, size_t n)
{
	return (size_t)r->n == n && memcmp(r->uid, uid, n) == 0;
}

#endif
