#include "mfrc522_model.h"

#include <string.h>

enum {
	COMMAND = 0x01, COM_IEN = 0x02, DIV_IEN = 0x03, COM_IRQ = 0x04, DIV_IRQ = 0x05, ERROR = 0x06,
	STATUS1 = 0x07, STATUS2 = 0x08, FIFO_DATA = 0x09, FIFO_LEVEL = 0x0A, WATER_LEVEL = 0x0B, CONTROL = 0x0C,
	BIT_FRAMING = 0x0D, COLL = 0x0E, MODE = 0x11, TX_MODE = 0x12, RX_MODE = 0x13, TX_CONTROL = 0x14,
	TX_ASK = 0x15, CRC_H = 0x21, CRC_L = 0x22, RF_CFG = 0x26, T_MODE = 0x2A, T_PRESCALER = 0x2B,
	T_RELOAD_H = 0x2C, T_RELOAD_L = 0x2D, T_COUNTER_H = 0x2E, T_COUNTER_L = 0x2F, VERSION = 0x37,
};

enum {
	CMD_IDLE = 0x0,
	CMD_CRC = 0x3,
	CMD_NO_CHANGE = 0x7,
	CMD_TRANSCEIVE = 0xC,
	CMD_AUTHENT = 0xE,
	CMD_SOFT_RESET = 0xF
};
enum {
	IRQ_TX = 0x40,
	IRQ_RX = 0x20,
	IRQ_IDLE = 0x10,
	IRQ_ERR = 0x02,
	IRQ_TIMER = 0x01,
	IRQ_CRC = 0x04 /* of DivIrqReg */
};
enum { ERR_WRITE = 0x80, ERR_OVERFLOW = 0x10, ERR_COLL = 0x08, ERR_CRC = 0x04, ERR_PROTOCOL = 0x01 };

/* Values after a reset (data sheet chapter 9.3), and the bits that a driver must not change:
 * reserved bits (chapter 9.2) and read-only ones. A driver writes them as 0 or as they are after a
 * reset. */
static const struct initial {
	uint8_t reg, value, fixed;
} after_reset[] = {
	{ COMMAND, 0x20, 0xC0 },     { COM_IEN, 0x80, 0x00 },     { DIV_IEN, 0x00, 0x6B },
	{ COM_IRQ, 0x14, 0x00 },     { DIV_IRQ, 0x00, 0x6B },     { STATUS1, 0x21, 0xFF },
	{ STATUS2, 0x00, 0x37 },     { FIFO_LEVEL, 0x00, 0x7F },  { WATER_LEVEL, 0x08, 0xC0 },
	{ CONTROL, 0x10, 0x3F },     { BIT_FRAMING, 0x00, 0x08 }, { COLL, 0xA0, 0x7F },
	{ MODE, 0x3F, 0x54 },        { TX_MODE, 0x00, 0x07 },     { RX_MODE, 0x00, 0x03 },
	{ TX_CONTROL, 0x80, 0x04 },  { TX_ASK, 0x00, 0xBF },      { 0x16, 0x10, 0xC0 },
	{ 0x17, 0x84, 0x00 },        { 0x18, 0x84, 0x08 },        { 0x19, 0x4D, 0x00 },
	{ 0x1C, 0x62, 0xFC },        { 0x1F, 0xEB, 0x00 },        { CRC_H, 0xFF, 0xFF },
	{ CRC_L, 0xFF, 0xFF },       { 0x24, 0x26, 0x00 },        { RF_CFG, 0x48, 0x8F },
	{ 0x27, 0x88, 0x00 },        { 0x28, 0x20, 0xC0 },        { 0x29, 0x20, 0xC0 },
	{ VERSION, 0x92, 0xFF },     { 0x00, 0x00, 0xFF },        { ERROR, 0x00, 0xFF },
	{ T_COUNTER_H, 0, 0xFF },    { T_COUNTER_L, 0, 0xFF },
};

static bool field(const struct mfrc522_model *m)
{
	return !m->held && (m->reg[TX_CONTROL] & 3) == 3 && (m->reg[COMMAND] & 0x10) == 0;
}

/* Without a field every card loses its state. */
static void settle_field(struct mfrc522_model *m)
{
	if (field(m))
		return;
	for (size_t i = 0; i < MFRC522_MODEL_CARDS; i++)
		mfrc522_card_leave_field(&m->card[i]);
}

void mfrc522_model_forget(struct mfrc522_model *m)
{
	memset(m->reg, 0, sizeof m->reg);
	for (size_t i = 0; i < sizeof after_reset / sizeof after_reset[0]; i++)
		m->reg[after_reset[i].reg] = after_reset[i].value;
	m->level = 0;
	m->pending = 0;
	m->started = false;
	settle_field(m);
}

void mfrc522_model_init(struct mfrc522_model *m)
{
	memset(m, 0, sizeof *m);
	mfrc522_model_forget(m);
}

void mfrc522_model_reset(struct mfrc522_model *m, bool held)
{
	if (held && !m->held)
		m->resets++;
	m->held = held;
	mfrc522_model_forget(m);
	if (m->how == MFRC522_MODEL_DEAF || m->how == MFRC522_MODEL_STUCK || m->how == MFRC522_MODEL_MUTE)
		m->how = MFRC522_MODEL_OK;
}

void mfrc522_model_break(struct mfrc522_model *m, int how)
{
	m->how = how;
	if (how == MFRC522_MODEL_DEAF || how == MFRC522_MODEL_DEAD || how == MFRC522_MODEL_ONES)
		mfrc522_model_forget(m);
}

void mfrc522_model_card(struct mfrc522_model *m, const uint8_t *uid, size_t n)
{
	memset(m->card, 0, sizeof m->card);
	mfrc522_model_add(m, uid, n);
}

void mfrc522_model_add(struct mfrc522_model *m, const uint8_t *uid, size_t n)
{
	if (n != 4 && n != 7 && n != 10)
		return;
	for (size_t i = 0; i < MFRC522_MODEL_CARDS; i++) {
		struct mfrc522_model_card *c = &m->card[i];

		if (c->n != 0)
			continue;
		memcpy(c->uid, uid, n);
		c->n = (uint8_t)n;
		c->sak = 0x08;
		return;
	}
}

void mfrc522_model_remove(struct mfrc522_model *m, const uint8_t *uid, size_t n)
{
	for (size_t i = 0; i < MFRC522_MODEL_CARDS; i++)
		if (m->card[i].n == n && memcmp(m->card[i].uid, uid, n) == 0)
			memset(&m->card[i], 0, sizeof m->card[i]);
}

static void error(struct mfrc522_model *m, unsigned bits)
{
	m->reg[ERROR] = (uint8_t)(m->reg[ERROR] | bits);
	m->reg[COM_IRQ] |= IRQ_ERR;
}

/* The data sheet does not say where the count of a collision's position begins if RxAlign is not 0.
 * Later chips of the family count the bits of RxAlign too, and so do we. It says that the bits
 * after a collision are cleared, but not how the colliding bit itself reads: here it reads as 1. */
static void receive(struct mfrc522_model *m, const uint8_t *air, size_t bits, size_t coll)
{
	size_t align = (m->reg[BIT_FRAMING] >> 4) % 8u, total = align + bits;

	memset(m->fifo, 0, sizeof m->fifo);
	m->reg[COLL] = (uint8_t)((m->reg[COLL] & 0x80) | 0x20);
	if (coll < bits) {
		error(m, ERR_COLL);
		if (align + coll < 32)
			m->reg[COLL] = (uint8_t)((m->reg[COLL] & 0x80) | ((align + coll + 1) & 0x1F));
	}
	for (size_t i = 0, to = align; i < bits && (i <= coll || m->reg[COLL] & 0x80); i++, to++)
		m->fifo[to / 8] = (uint8_t)(m->fifo[to / 8] | mfrc522_card_bit(air, i) << to % 8);
	m->level = (uint8_t)((total + 7) / 8);
	m->reg[CONTROL] = (uint8_t)((m->reg[CONTROL] & ~7u) | total % 8);
	if (m->reg[RX_MODE] & 0x80) {
		if (m->level < 3 || total % 8 != 0 || mfrc522_card_crc(m->fifo, m->level, 0x6363) != 0)
			error(m, ERR_CRC);
		m->level = (uint8_t)(m->level < 2 ? 0 : m->level - 2);
	}
	m->reg[COM_IRQ] |= IRQ_RX;
}

/* Sends the frame in the FIFO. The answer can be read when pending has counted down. */
static void transceive(struct mfrc522_model *m)
{
	const uint8_t *r = m->reg;
	uint8_t frame[MFRC522_MODEL_FIFO + 2], air[MFRC522_CARD_ANSWER] = { 0 };
	size_t last = r[BIT_FRAMING] & 7u, n = m->level, bits, got = 0, coll = SIZE_MAX;
	uint32_t tick = 2 * ((r[T_MODE] & 0xFu) << 8 | r[T_PRESCALER]) + 1,
			 ticks = ((uint32_t)r[T_RELOAD_H] << 8 | r[T_RELOAD_L]) + 1;
	bool timer = (r[T_MODE] & 0x80) != 0;
	uint8_t before = r[COM_IRQ] | IRQ_TX;

	m->frames++;
	memcpy(frame, m->fifo, n);
	m->level = 0;
	if (n == 0) {
		m->misuse++;
		return;
	}
	if (r[TX_MODE] & 0x80) {
		uint16_t crc = mfrc522_card_crc(frame, n, 0x6363);

		frame[n++] = (uint8_t)crc;
		frame[n++] = (uint8_t)(crc >> 8);
	}
	bits = last == 0 ? 8 * n : 8 * (n - 1) + last;

	/* A card begins its answer 86 us (1172 cycles) after the frame, and the answer's fifth bit
	 * stops the timer; a bit takes 128 cycles. */
	if (field(m) && m->how == MFRC522_MODEL_OK && r[TX_ASK] & 0x40 && !(r[TX_MODE] & 0x70) &&
		!(r[RX_MODE] & 0x70) && (r[MODE] & 3) == 1 && (!timer || tick * ticks > 1172 + 5 * 128)) {
		for (size_t i = 0; i < MFRC522_MODEL_CARDS; i++) {
			uint8_t answer[MFRC522_CARD_ANSWER] = { 0 };
			enum mfrc522_model_answer what = MFRC522_MODEL_ATQA;
			size_t has = 0;

			if (m->card[i].n != 0)
				has = mfrc522_card_hear(&m->card[i], frame, bits, m->patient, answer, &what);

			if (has != 0 && m->tamper != NULL)
				m->tamper(m->tamper_ctx, what, answer, &has);
			has = has > 8 * MFRC522_CARD_ANSWER ? 8 * MFRC522_CARD_ANSWER : has;
			for (size_t k = 0; k < has; k++) {
				if (k < got && k < coll && mfrc522_card_bit(answer, k) != mfrc522_card_bit(air, k))
					coll = k;
				air[k / 8] = (uint8_t)(air[k / 8] | mfrc522_card_bit(answer, k) << k % 8);
			}
			got = has > got ? has : got;
		}
	}
	if (got != 0)
		receive(m, air, got, coll);
	else if (timer)
		m->reg[COM_IRQ] |= IRQ_TIMER;
	m->coming = m->reg[COM_IRQ] & (uint8_t)~before;
	m->reg[COM_IRQ] = before;
	m->pending = m->delay + 1;
}

static void command(struct mfrc522_model *m, uint8_t value)
{
	uint8_t old = m->reg[COMMAND] & 0xF;
	uint16_t crc;

	if ((value & 0xF) == CMD_NO_CHANGE)
		value = (uint8_t)((value & 0xF0) | old);
	m->reg[COMMAND] = value & 0x3F;
	m->pending = 0;
	if ((value & 0xF) != CMD_IDLE)
		m->reg[ERROR] = 0;
	switch (value & 0xF) {
	case CMD_IDLE:
		break;
	case CMD_TRANSCEIVE:
		m->misuse += m->started; /* the data sheet does not say that StartSend clears itself */
		break;
	case CMD_CRC:
		crc = mfrc522_card_crc(m->fifo, m->level,
			(m->reg[MODE] & 3) == 1   ? 0x6363
			: (m->reg[MODE] & 3) == 3 ? 0xFFFF
									  : 0);
		m->reg[CRC_H] = (uint8_t)(crc >> 8);
		m->reg[CRC_L] = (uint8_t)crc;
		m->reg[DIV_IRQ] |= IRQ_CRC;
		m->level = 0;
		break;
	case CMD_SOFT_RESET:
		mfrc522_model_forget(m);
		return;
	default:
		m->misuse += (value & 0xF) != CMD_AUTHENT;
		m->reg[COMMAND] &= 0xF0;
		m->reg[COM_IRQ] |= IRQ_IDLE;
		error(m, ERR_PROTOCOL);
	}
	settle_field(m);
}

static void write_reg(struct mfrc522_model *m, uint8_t reg, uint8_t value)
{
	for (size_t i = 0; i < sizeof after_reset / sizeof after_reset[0]; i++) {
		const struct initial *a = &after_reset[i];

		if (a->reg != reg)
			continue;
		m->misuse += a->fixed == 0xFF || ((value & a->fixed) != 0 && ((value ^ a->value) & a->fixed) != 0);
		if (a->fixed == 0xFF)
			return;
	}
	switch (reg) {
	case COMMAND:
		command(m, value);
		return;
	case COM_IRQ:
	case DIV_IRQ:
		m->reg[reg] = (uint8_t)(value & 0x80 ? m->reg[reg] | (value & 0x7F) : m->reg[reg] & ~value);
		return;
	case FIFO_DATA:
		if (m->started && (m->reg[COMMAND] & 0xF) == CMD_TRANSCEIVE) { /* while it sends or receives */
			error(m, ERR_WRITE);
			m->misuse++;
		}
		if (m->level < MFRC522_MODEL_FIFO) {
			m->fifo[m->level++] = value;
		} else {
			error(m, ERR_OVERFLOW);
			m->misuse++;
		}
		return;
	case FIFO_LEVEL:
		if (value & 0x80) {
			m->level = 0;
			m->reg[ERROR] &= (uint8_t)~ERR_OVERFLOW;
		}
		return;
	case CONTROL:
		return;
	case BIT_FRAMING:
		m->reg[reg] = value & 0x7F;
		m->started = (value & 0x80) != 0;
		if (!m->started)
			return;
		if ((m->reg[COMMAND] & 0xF) == CMD_TRANSCEIVE && m->pending == 0)
			transceive(m);
		else
			m->misuse++;
		return;
	case COLL:
		m->reg[reg] = (uint8_t)((value & 0x80) | (m->reg[reg] & 0x7F));
		return;
	case TX_CONTROL:
		m->reg[reg] = value;
		settle_field(m);
		return;
	default:
		m->reg[reg] = value;
	}
}

static uint8_t read_reg(struct mfrc522_model *m, uint8_t reg)
{
	bool busy = m->pending != 0 || m->how == MFRC522_MODEL_STUCK;
	uint8_t value;

	switch (reg) {
	case ERROR:
		return busy ? 0 : m->reg[reg];
	case FIFO_LEVEL:
		return busy ? 0 : m->level;
	case FIFO_DATA:
		if (busy || m->level == 0) {
			m->misuse++;
			return 0;
		}
		value = m->fifo[0];
		m->level--;
		memmove(m->fifo, m->fifo + 1, m->level);
		return value;
	default:
		return m->reg[reg];
	}
}

void mfrc522_model_spi(struct mfrc522_model *m, const uint8_t *tx, uint8_t *rx, size_t n)
{
	uint8_t address;

	m->transfers++;
	if (n < 2 || n > 64 || tx[0] & 1 || m->held) {
		m->misuse++;
		memset(rx, 0, n);
		return;
	}
	if (m->how == MFRC522_MODEL_DEAD || m->how == MFRC522_MODEL_ONES) {
		memset(rx, m->how == MFRC522_MODEL_DEAD ? 0x00 : 0xFF, n);
		return;
	}
	address = tx[0];
	rx[0] = 0xA5; /* undefined on the chip */
	for (size_t i = 1; i < n; i++) {
		uint8_t next = tx[i]; /* rx may be tx */

		if (address & 0x80) {
			rx[i] = read_reg(m, address >> 1 & 0x3F);
			if (i < n - 1 ? (next & 0x81) != 0x80 : next != 0)
				m->misuse++;
			address = next | 0x80;
		} else {
			rx[i] = 0;
			write_reg(m, address >> 1, next);
		}
	}
	if (m->pending != 0 && --m->pending == 0 && m->how != MFRC522_MODEL_STUCK)
		m->reg[COM_IRQ] |= m->coming;
}
