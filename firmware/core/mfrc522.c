#include "mfrc522.h"

#include <string.h>

#include "err.h"

/* MFRC522 data sheet, chapter 9. */
enum {
	COMMAND = 0x01,
	COM_IRQ = 0x04,
	ERROR = 0x06,
	FIFO_DATA = 0x09,
	FIFO_LEVEL = 0x0A,
	CONTROL = 0x0C,
	BIT_FRAMING = 0x0D,
	COLL = 0x0E,
	MODE = 0x11,
	TX_MODE = 0x12,
	RX_MODE = 0x13,
	TX_CONTROL = 0x14,
	TX_ASK = 0x15,
	RF_CFG = 0x26,
	T_MODE = 0x2A,
	T_PRESCALER = 0x2B,
	T_RELOAD_H = 0x2C,
	T_RELOAD_L = 0x2D,
	VERSION = 0x37,
};

enum { CMD_IDLE = 0x00, CMD_TRANSCEIVE = 0x0C, CMD_SOFT_RESET = 0x0F };
enum { IRQ_RX = 0x20, IRQ_TIMER = 0x01 };
enum { ERR_TEMP = 0x40, ERR_COLL = 0x08, ERR_FRAME = 0x17 /* overflow, CRC, parity, protocol */ };

/* ISO 14443-3, chapter 6. */
enum {
	REQA = 0x26,
	WUPA = 0x52,
	SEL = 0x93,
	HLTA = 0x50,
	CASCADE_TAG = 0x88,
	SAK_CASCADE = 0x04,
	PART_BITS = 40
};

enum { HELD, BOOTING, IDLE, REQUEST, ASK };

enum {
	HOLD_MS = 10,    /* the reset pin; doubled with each failure in a row */
	BOOT_MS = 50,    /* the chip's crystal, for which the data sheet has no figure */
	FIELD_MS = 10,   /* cards have 5 ms to wake up in a new field: twice that */
	/* a frame, the card's time and its answer take 1.4 ms at most; else the chip's timer ends */
	WAIT_MS = 2,
	HUNG_MS = 20,    /* by then one of the two has happened */
	POLL_MS = 100,
	RETRY_MS = 30,   /* a card was there but could not be read; perhaps it was still moving */
	GONE = 3,        /* misses */
	DEAD = 5,        /* failures */
	TRIES_MAX = 10,  /* 10 ms << 10 is the longest pause */
	REFRESH = 6000,  /* quiet polls, ten minutes */
};

/* Set-up, as mask << 16 | register << 8 | value; the mask has the bits that a self-check may expect
 * back. Words, because an ESP8266 cannot read single bytes from its flash. */
#define SET(reg, mask, value) ((uint32_t)(mask) << 16 | (uint32_t)(reg) << 8 | (value))
static const uint32_t setup[] = {
	SET(TX_MODE, 0xF0, 0x00), /* 106 kbit/s, and no CRC by the chip: ours also proves the SPI line */
	SET(RX_MODE, 0xF4, 0x00),
	/* the timer starts by itself after each frame and ticks every 25 us: 120 ticks are 3 ms */
	SET(T_MODE, 0xFF, 0x80),
	SET(T_PRESCALER, 0xFF, 0xA9),
	SET(T_RELOAD_H, 0xFF, 0),
	SET(T_RELOAD_L, 0xFF, 120),
	SET(TX_ASK, 0x40, 0x40),
	SET(MODE, 0x23, 0x3D),   /* CRC preset 0x6363 */
	SET(COLL, 0x80, 0x00),   /* no bits after a collision */
	SET(RF_CFG, 0x70, 0x68), /* 43 dB, between the 33 after a reset and the 48 that hear too much noise */
	SET(TX_CONTROL, 0x03, 0x83), /* the field, last */
};
enum { SETUP = sizeof setup / sizeof setup[0] };

static void transfer(struct lk_mfrc522 *d, uint8_t *b, size_t n)
{
	if (d->port->spi(d->port->ctx, b, b, n) < 0)
		d->io = true;
}

static uint8_t read_address(uint32_t reg)
{
	return (uint8_t)(0x80 | reg << 1);
}

static void set(struct lk_mfrc522 *d, uint32_t reg, uint32_t value)
{
	uint8_t b[2] = { (uint8_t)(reg << 1), (uint8_t)value };

	transfer(d, b, sizeof b);
}

/* CRC_A, low byte first in a frame. Over a frame with its CRC it is zero. */
static uint32_t crc_a(const uint8_t *b, size_t n)
{
	uint32_t crc = 0x6363;

	while (n--) {
		crc ^= *b++;
		for (int i = 0; i < 8; i++)
			crc = (crc & 1) ? crc >> 1 ^ 0x8408 : crc >> 1;
	}
	return crc;
}

/* Sends a frame of 9 bytes at most: that is a select with its CRC. */
static uint32_t send(struct lk_mfrc522 *d, const uint8_t *frame, size_t n, uint32_t framing)
{
	uint8_t b[10] = { FIFO_DATA << 1 };

	memcpy(b + 1, frame, n);
	set(d, COMMAND, CMD_IDLE);
	set(d, COM_IRQ, 0x7F);
	set(d, FIFO_LEVEL, 0x80);
	transfer(d, b, n + 1);
	set(d, BIT_FRAMING, framing); /* clears StartSend: left from the last frame it would send at once */
	set(d, COMMAND, CMD_TRANSCEIVE);
	set(d, BIT_FRAMING, framing | 0x80);
	d->sent = d->now;
	return WAIT_MS;
}

/* frame has room for the CRC. */
static uint32_t send_crc(struct lk_mfrc522 *d, uint8_t *frame, size_t n)
{
	uint32_t crc = crc_a(frame, n);

	frame[n] = (uint8_t)crc;
	frame[n + 1] = (uint8_t)(crc >> 8);
	return send(d, frame, n + 2, 0);
}

static uint32_t request(struct lk_mfrc522 *d, bool check)
{
	uint8_t frame = check ? WUPA : REQA;

	d->state = REQUEST;
	d->check = check;
	d->began = d->now;
	return send(d, &frame, 1, 7);
}

/* Anticollision with the bits known so far; with all of them it is a select. */
static uint32_t ask(struct lk_mfrc522 *d)
{
	uint8_t frame[9];
	uint32_t bits = d->known % 8u, n = (d->known + 7u) / 8;

	d->state = ASK;
	frame[0] = (uint8_t)(SEL + 2 * d->cascade);
	frame[1] = (uint8_t)(0x20 + (d->known / 8u << 4) + bits);
	memcpy(frame + 2, d->uid[d->cascade], n);
	if (d->known == PART_BITS)
		return send_crc(d, frame, 2 + n);
	return send(d, frame, 2 + n, bits << 4 | bits);
}

static uint32_t ask_level(struct lk_mfrc522 *d, uint8_t cascade)
{
	d->cascade = cascade;
	d->known = 0;
	if (d->check) {
		d->known = PART_BITS;
		memcpy(d->uid[cascade], d->last[cascade], sizeof d->uid[cascade]);
	}
	return ask(d);
}

/* The poll ends without a card that is new or known. */
static uint32_t give_up(struct lk_mfrc522 *d)
{
	uint32_t wait = POLL_MS;

	if (d->state == ASK && !d->check) {
		d->pick ^= 1; /* of three cards, perhaps only one has the other bit */
		wait = RETRY_MS;
	}
	if (d->misses < GONE && !d->check)
		return request(d, true);
	d->quiet++;
	d->state = IDLE;
	return wait;
}

static uint32_t finish(struct lk_mfrc522 *d)
{
	uint8_t frame[4] = { HLTA, 0 };
	size_t n = (d->cascade + 1u) * sizeof d->uid[0];

	if (d->misses >= GONE || memcmp(d->uid, d->last, n) != 0) {
		memcpy(d->last, d->uid, n);
		d->last_level = d->cascade;
		d->at = d->began;
		d->fresh = true;
	}
	d->misses = 0;
	d->quiet = 0;
	d->state = IDLE;
	send_crc(d, frame, 2);
	return POLL_MS;
}

/* The soft reset is for a board without the reset pin. */
static uint32_t reset(struct lk_mfrc522 *d)
{
	set(d, COMMAND, CMD_SOFT_RESET);
	d->port->chip_reset(d->port->ctx, true);
	d->state = HELD;
	d->quiet = 0;
	d->io = false;
	return (uint32_t)HOLD_MS << d->tries;
}

static uint32_t fail(struct lk_mfrc522 *d)
{
	d->failures++;
	if (d->tries < TRIES_MAX)
		d->tries++;
	if (d->tries >= DEAD && !d->dead) {
		d->dead = true;
		d->port->log(d->port->own, "card reader chip does not answer", d->failures);
	}
	return reset(d);
}

static bool holds_setup(struct lk_mfrc522 *d)
{
	uint8_t b[SETUP + 2];

	for (size_t i = 0; i < SETUP; i++)
		b[i] = read_address(setup[i] >> 8 & 0x3F);
	b[SETUP] = read_address(VERSION);
	b[SETUP + 1] = 0;
	transfer(d, b, sizeof b);
	for (size_t i = 0; i < SETUP; i++)
		if ((b[i + 1] ^ setup[i]) & setup[i] >> 16)
			return false;
	d->version = b[SETUP + 1];
	return d->version != 0x00 && d->version != 0xFF;
}

static uint32_t poll(struct lk_mfrc522 *d)
{
	if (!holds_setup(d))
		return fail(d);
	if (d->quiet >= REFRESH)
		return reset(d);
	return request(d, false);
}

/* The bits from known on came in b[0…n-1]; they are settled up to the first collision, for which
 * pick decides. */
static bool settle(struct lk_mfrc522 *d, const uint8_t *b, size_t n, uint32_t error, uint32_t coll)
{
	uint8_t *uid = d->uid[d->cascade], *p = uid + d->known / 8;
	uint32_t mask = (1u << d->known % 8) - 1, kept = *p & mask;

	if (error & ERR_COLL) {
		uint32_t bit = (coll - 1) & 0x1F; /* position 0 is the 32nd */

		/* A third card: the data sheet does not say from which bit the chip counts when it got only
		 * the rest of the level. */
		if (d->known != 0 || coll & 0x20 || n < (bit + 7) / 8)
			return false;
		memcpy(p, b, n);
		p += bit / 8;
		*p = (uint8_t)((*p & ((1u << bit % 8) - 1)) | (uint32_t)d->pick << bit % 8);
		d->known = (uint8_t)(bit + 1);
		return true;
	}
	if (error & ERR_FRAME || n != sizeof d->uid[0] - d->known / 8)
		return false;
	memcpy(p, b, n);
	*p = (uint8_t)((*p & ~mask) | kept);
	d->known = PART_BITS;
	return (uid[0] ^ uid[1] ^ uid[2] ^ uid[3] ^ uid[4]) == 0;
}

/* The card has accepted all bits of this level. */
static uint32_t selected(struct lk_mfrc522 *d, uint32_t sak)
{
	bool more = d->uid[d->cascade][0] == CASCADE_TAG && d->cascade < 2;

	if (more != ((sak & SAK_CASCADE) != 0))
		return give_up(d);
	return more ? ask_level(d, (uint8_t)(d->cascade + 1)) : finish(d);
}

static uint32_t collect(struct lk_mfrc522 *d)
{
	uint8_t s[6] = {read_address(COM_IRQ), read_address(ERROR), read_address(FIFO_LEVEL),
		read_address(CONTROL), read_address(COLL), 0};
	uint8_t b[6];
	size_t n;

	transfer(d, s, sizeof s);
	if (s[2] & ERR_TEMP)
		return fail(d);
	if (!(s[1] & (IRQ_RX | IRQ_TIMER)))
		return d->now - d->sent < HUNG_MS ? WAIT_MS : fail(d);
	d->tries = 0;
	if (d->dead) {
		d->dead = false;
		d->port->log(d->port->own, "card reader chip answers", d->version);
	}
	if (!(s[1] & IRQ_RX)) {
		if (d->check)
			d->misses++;
		return give_up(d);
	}
	if (d->state == REQUEST) /* whatever it was: noise will not survive what follows */
		return ask_level(d, 0);

	n = s[3];
	if (n == 0 || n >= sizeof b || s[4] & 7)
		return give_up(d);
	memset(b, read_address(FIFO_DATA), n);
	b[n] = 0;
	transfer(d, b, n + 1);
	if (d->known == PART_BITS) {
		if (n != 3 || s[2] & (ERR_FRAME | ERR_COLL) || crc_a(b + 1, 3) != 0)
			return give_up(d);
		return selected(d, b[1]);
	}
	return settle(d, b + 1, n, s[2], s[5]) ? ask(d) : give_up(d);
}

static uint32_t advance(struct lk_mfrc522 *d)
{
	switch (d->state) {
	case HELD:
		d->port->chip_reset(d->port->ctx, false);
		d->state = BOOTING;
		return BOOT_MS;
	case BOOTING:
		for (size_t i = 0; i < SETUP; i++)
			set(d, setup[i] >> 8 & 0x3F, setup[i] & 0xFF);
		d->state = IDLE;
		return FIELD_MS;
	case IDLE:
		return poll(d);
	case REQUEST:
	case ASK:
		return collect(d);
	default:
		return reset(d);
	}
}

void lk_mfrc522_init(struct lk_mfrc522 *d)
{
	memset(d, 0, sizeof *d);
	d->state = UINT8_MAX;
	d->misses = GONE;
}

uint32_t lk_mfrc522_step(struct lk_mfrc522 *d, const struct lk_port *port, uint32_t now)
{
	int32_t early = (int32_t)(d->due - now);

	if (early > 0 && d->state != UINT8_MAX)
		return (uint32_t)early;
	d->port = port;
	d->now = now;
	d->due = now + advance(d);
	if (d->io)
		d->due = now + fail(d);
	return d->due - now;
}

int lk_mfrc522_take(struct lk_mfrc522 *d, uint8_t uid[10], uint32_t *at)
{
	if (!d->fresh)
		return 0;
	d->fresh = false;
	for (uint8_t i = 0; i <= d->last_level; i++) /* without cascade tags; the next level overwrites a BCC */
		memcpy(uid + 3 * i, d->last[i] + (i < d->last_level), 4);
	*at = d->at;
	return 3 * d->last_level + 4;
}
