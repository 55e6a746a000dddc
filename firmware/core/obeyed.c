#include "obeyed.h"

#include <string.h>

#include "wire.h"

/* RTC memory: four words of the machine's own order, and a checksum of them. */
enum { MAGIC = 0x6c6b6f31, WORDS = 4 };

/* FNV-1a shows whether the memory has kept its content; nobody else writes it. */
static uint32_t checksum(const uint32_t *words)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < WORDS; i++)
		for (unsigned int shift = 0; shift < 32; shift += 8)
			h = (h ^ (words[i] >> shift & 0xff)) * 16777619u;
	return h;
}

void lk_obeyed_load(struct lk_obeyed *o, const struct lk_port *port)
{
	uint32_t words[WORDS + 1];

	*o = (struct lk_obeyed){0, 1};
	if (port->rtc_get(port->ctx, (uint8_t *)words, sizeof words) < 0 || words[0] != MAGIC ||
		words[WORDS] != checksum(words))
		return;
	uint64_t id = (uint64_t)words[2] << 32 | words[3];
	if (words[1] > 0 && id <= LK_COUNTER_MAX)
		*o = (struct lk_obeyed){id, words[1]};
}

void lk_obeyed_note(struct lk_obeyed *o, const struct lk_port *port, uint64_t id, uint32_t epoch)
{
	if (epoch < o->epoch || (epoch == o->epoch && id <= o->id))
		return;
	*o = (struct lk_obeyed){id, epoch};
	uint32_t words[WORDS + 1] = {MAGIC, epoch, (uint32_t)(id >> 32), (uint32_t)id};
	words[WORDS] = checksum(words);
	(void)port->rtc_set(port->ctx, (const uint8_t *)words, sizeof words); /* without it only a reset forgets */
}
