#include "sleep.h"

#include <string.h>

#include "err.h"

/*
 * RTC memory, big-endian:
 *
 *	 0  4  magic, with the version of this layout
 *	 4  4  checksum of what follows
 *	 8 16  counter (lk_counter_export)
 *	24  4  last token
 *	28  2  last message ID
 *	30 25  registration's path, with its NUL
 *	55  2  length of the association
 *	57  …  the association (mbedtls_ssl_context_save)
 */
enum {
	MAGIC = 0x6c6b7331,
	CHECKSUM = 4,
	COUNTER = 8,
	TOKEN = 24,
	MID = 28,
	LOCATION = 30,
	LENGTH = 55,
	STATE = 57
};

_Static_assert(STATE + LK_DTLS_STATE_MAX <= LK_RTC_MAX, "an association must fit");
_Static_assert(LENGTH - LOCATION == LK_LOCATION_MAX + 1, "so must a path");
_Static_assert(TOKEN - COUNTER == LK_COUNTER_EXPORT, "and a counter");

static void put32(uint8_t *b, uint32_t v)
{
	b[0] = (uint8_t)(v >> 24);
	b[1] = (uint8_t)(v >> 16);
	b[2] = (uint8_t)(v >> 8);
	b[3] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* FNV-1a shows whether the memory has kept its content. It is not against attackers, who cannot
 * reach this memory. */
static uint32_t checksum(const uint8_t *b)
{
	uint32_t h = 2166136261u;

	for (size_t i = COUNTER; i < LK_RTC_MAX; i++)
		h = (h ^ b[i]) * 16777619u;
	return h;
}

int lk_sleep_save(struct lk_sleep *s, struct lk_node *n)
{
	uint8_t *b = s->rtc;

	memset(b, 0, sizeof s->rtc);
	(void)lk_counter_export(n->intent.counter, b + COUNTER, LK_COUNTER_EXPORT);
	int len = n->state == LK_NODE_UP ? lk_dtls_save(n->link.dtls, b + STATE, sizeof s->rtc - STATE) : 0;
	if (len > 0) {
		put32(b + TOKEN, n->link.out.token);
		b[MID] = (uint8_t)(n->link.out.mid >> 8);
		b[MID + 1] = (uint8_t)n->link.out.mid;
		memcpy(b + LOCATION, n->registration.location, sizeof n->registration.location);
		b[LENGTH] = (uint8_t)(len >> 8);
		b[LENGTH + 1] = (uint8_t)len;
	}
	put32(b, MAGIC);
	put32(b + CHECKSUM, checksum(b));
	int err = n->link.port->rtc_set(n->link.port->ctx, b, sizeof s->rtc);
	lk_wipe(b, sizeof s->rtc);
	return err < 0 ? err : len;
}

int lk_sleep_load(struct lk_sleep *s, struct lk_node *n)
{
	static const uint8_t erased[8];
	const struct lk_port *p = n->link.port;
	uint8_t *b = s->rtc;

	if (p->rtc_get(p->ctx, b, sizeof s->rtc) < 0)
		return LK_ENONE;
	if (p->rtc_set(p->ctx, erased, sizeof erased) < 0)
		return LK_EIO; /* a state that cannot be erased must not be used */
	uint16_t len = (uint16_t)(b[LENGTH] << 8 | b[LENGTH + 1]);
	if (get32(b) != MAGIC || get32(b + CHECKSUM) != checksum(b) || len > sizeof s->rtc - STATE ||
		b[LENGTH - 1] != 0)
		return LK_ENONE;
	/* one that does not fit skips the rest of its block */
	(void)lk_counter_import(n->intent.counter, b + COUNTER, LK_COUNTER_EXPORT);
	if (len == 0)
		return 0;
	n->link.out.token = get32(b + TOKEN);
	n->link.out.mid = (uint16_t)(b[MID] << 8 | b[MID + 1]);
	memcpy(n->registration.location, b + LOCATION, sizeof n->registration.location);
	lk_node_resume(n, b + STATE, len);
	return 0;
}
