/*
 * The driver must not trust the chip and the cards. The first byte says how the other bytes are
 * used. 0: SPI reads them. 1: the registers of an answer read them, and the model provides all
 * other registers. 2: they are exclusive-ored into what the model's SPI reads. Any other value:
 * they are a script of cards, disturbed answers and broken chips. In a script each UID that is
 * read must be that of a card that was there, and at the end the reader must work again.
 */
#include <stdlib.h>
#include <string.h>

#include "../core/err.h"
#include "../core/mfrc522.h"
#include "../test/mfrc522_model.h"

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum { RAW, ANSWERS, XORED, SCRIPT, SIZE_LIMIT = 1024 };

struct world {
	struct mfrc522_model m;
	struct lk_mfrc522 d;
	struct lk_port port;
	const uint8_t *in;
	size_t left;
	int mode;
	uint32_t now, transfers, reads;
	bool tamper;
	/* every card that was there; a card may be gone when the driver delivers its UID */
	uint8_t card[SIZE_LIMIT][10], n[SIZE_LIMIT];
	size_t cards;
};

static uint8_t take_byte(struct world *w)
{
	if (w->left == 0)
		return 0;
	w->left--;
	return *w->in++;
}

static int spi(void *ctx, const uint8_t *tx, uint8_t *rx, size_t n)
{
	struct world *w = ctx;
	uint8_t address[64];

	MUST(n >= 2 && n <= 64);
	w->transfers++;
	memcpy(address, tx, n);
	mfrc522_model_spi(&w->m, tx, rx, n);
	for (size_t i = 1; i < n && address[0] & 0x80; i++) {
		uint8_t reg = address[i - 1] >> 1 & 0x3F;

		if (w->mode == RAW || (w->mode == ANSWERS && reg < 0x11 && (reg != 0x0E || n < 10)))
			rx[i] = take_byte(w);
		else if (w->mode == XORED)
			rx[i] ^= take_byte(w);
	}
	return w->mode <= ANSWERS && address[0] & 0x80 && rx[1] == 0xEE ? LK_EIO : 0;
}

static void chip_reset(void *ctx, bool held)
{
	mfrc522_model_reset(&((struct world *)ctx)->m, held);
}

static void ignore_log(void *ctx, const char *text, uint32_t number)
{
	(void)ctx;
	(void)text;
	(void)number;
}

static void tamper(void *ctx, enum mfrc522_model_answer what, uint8_t *answer, size_t *bits)
{
	struct world *w = ctx;
	uint8_t how = take_byte(w);

	(void)what;
	if (!w->tamper || how % 4 == 0)
		return;
	if (how % 4 == 1)
		*bits = take_byte(w) % 65;
	else
		answer[how / 4 % 8] ^= take_byte(w);
}

static void step(struct world *w)
{
	uint8_t uid[10];
	uint32_t at = 0, wait;
	int n;
	bool known = w->mode != SCRIPT;

	w->transfers = 0;
	wait = lk_mfrc522_step(&w->d, &w->port, w->now);
	MUST(wait >= 1 && wait <= 10240);
	MUST(w->transfers <= LK_MFRC522_TRANSFERS);
	n = lk_mfrc522_take(&w->d, uid, &at);
	MUST(n == 0 || n == 4 || n == 7 || n == 10);
	if (n != 0) {
		MUST((int32_t)(w->now - at) >= 0);
		w->reads++;
		for (size_t i = 0; i < w->cards; i++)
			known = known || (w->n[i] == n && memcmp(w->card[i], uid, (size_t)n) == 0);
		MUST(known);
	}
	MUST(lk_mfrc522_take(&w->d, uid, &at) == 0);
	w->now += wait;
}

static void put_card(struct world *w, bool alone)
{
	uint8_t *uid = w->card[w->cards], n = (uint8_t)(4 + 3 * (take_byte(w) % 3));

	if (alone)
		mfrc522_model_card(&w->m, NULL, 0);
	for (size_t i = 0; i < n; i++) {
		uid[i] = take_byte(w);
		if (i % 3 == 0 && uid[i] == 0x88 && i + 4 <= n && i < 6)
			uid[i] = 0x08;
	}
	w->n[w->cards++] = n;
	mfrc522_model_add(&w->m, uid, n);
}

static void run_script(struct world *w)
{
	static const uint8_t last[7] = { 4, 200, 201, 202, 203, 204, 205 };
	uint32_t reads, end;

	while (w->left != 0) {
		uint8_t op = take_byte(w);

		switch (op % 8) {
		case 0:
		case 1:
			put_card(w, op % 8 == 0);
			break;
		case 2:
			mfrc522_model_remove(&w->m, w->m.card[op / 8 % MFRC522_MODEL_CARDS].uid,
				w->m.card[op / 8 % MFRC522_MODEL_CARDS].n);
			break;
		case 3:
			mfrc522_model_break(&w->m, op / 8 % 6);
			break;
		case 4:
			w->m.reg[take_byte(w) & 0x3F] = op; /* a register changes by itself */
			break;
		case 5:
			w->m.delay = op / 8;
			break;
		case 6:
			w->tamper = !w->tamper;
			break;
		default:
			for (unsigned i = 0; i < op; i += 8)
				step(w);
			w->now += op;
		}
	}

	w->tamper = false;
	w->m.delay = 0;
	mfrc522_model_break(&w->m, MFRC522_MODEL_OK);
	mfrc522_model_card(&w->m, NULL, 0);
	for (end = w->now + 12000; (int32_t)(end - w->now) > 0;)
		step(w);
	MUST(!w->d.dead && w->d.tries == 0);
	reads = w->reads;
	memcpy(w->card[w->cards], last, sizeof last);
	w->n[w->cards++] = sizeof last;
	mfrc522_model_card(&w->m, last, sizeof last);
	for (end = w->now + 300; (int32_t)(end - w->now) > 0;)
		step(w);
	MUST(w->reads == reads + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t uid[7] = { 4, 1, 2, 3, 4, 5, 6 };
	static struct world w;

	if (size == 0 || size > SIZE_LIMIT)
		return 0;
	memset(&w, 0, sizeof w);
	w.in = data + 1;
	w.left = size - 1;
	w.mode = data[0] < SCRIPT ? data[0] : SCRIPT;
	w.port = (struct lk_port){
		.ctx = &w, .own = &w, .spi = spi, .chip_reset = chip_reset, .log = ignore_log};
	mfrc522_model_init(&w.m);
	lk_mfrc522_init(&w.d);
	if (w.mode == SCRIPT) {
		w.m.tamper = tamper;
		w.m.tamper_ctx = &w;
		run_script(&w);
		return 0;
	}
	mfrc522_model_card(&w.m, uid, sizeof uid);
	for (int i = 0; i < 3000 && w.left != 0; i++)
		step(&w);
	return 0;
}
