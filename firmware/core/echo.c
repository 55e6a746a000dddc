#include "echo.h"

#include <string.h>

enum { MIN_AGE = -60000, MAX_AGE = 601000 };

enum lk_freshness lk_echo_judge(int32_t elapsed, int32_t age, int32_t window)
{
	if (age < MIN_AGE || age > MAX_AGE)
		return LK_BAD_AGE;
	if (elapsed < 0 || elapsed > LK_ECHO_LIFE)
		return LK_STALE;
	if (age > elapsed + elapsed / 1000 + 1) /* an intent from the future, beyond what two clocks may differ */
		return LK_STALE;
	return elapsed - age > window ? LK_STALE : LK_FRESH;
}

/* Tells whether a stamp is further from now than an Echo's life, before or after: it may be a
 * little after now when the caller's now is a moment old. */
static bool apart(uint32_t at, uint32_t now)
{
	return now - at + LK_ECHO_LIFE > 2 * (uint32_t)LK_ECHO_LIFE;
}

void lk_echoes_reset(struct lk_echoes *x)
{
	memset(x, 0, sizeof *x);
}

void lk_echoes_expire(struct lk_echoes *x, uint32_t now)
{
	for (size_t i = 0; i < LK_ECHO_KEEP; i++)
		if (apart(x->issued[i].at, now))
			x->issued[i].used = false;
}

void lk_echoes_issue(
	struct lk_echoes *x, uint32_t now, const uint8_t random[LK_ECHO_LEN], uint8_t out[LK_ECHO_LEN])
{
	uint8_t i = x->next % LK_ECHO_KEEP;
	x->next = (uint8_t)(i + 1);
	memcpy(x->issued[i].echo, random, LK_ECHO_LEN);
	memcpy(out, random, LK_ECHO_LEN);
	x->issued[i].at = now;
	x->issued[i].used = true;
	lk_echoes_expire(x, now);
}

enum lk_freshness lk_echoes_check(
	struct lk_echoes *x, const uint8_t *echo, size_t len, int32_t age, int32_t window, uint32_t now)
{
	int32_t elapsed = -1; /* unknown Echo: the age is still checked */
	lk_echoes_expire(x, now);
	for (size_t i = 0; i < LK_ECHO_KEEP && len == LK_ECHO_LEN; i++) {
		uint8_t differs = !x->issued[i].used;
		/* all bytes: the time must not show how much of a guess was right */
		for (size_t j = 0; j < LK_ECHO_LEN; j++)
			differs |= x->issued[i].echo[j] ^ echo[j];
		if (differs == 0)
			elapsed = (int32_t)(now - x->issued[i].at);
	}
	if (elapsed >= 0)
		elapsed += LK_CLOCK_STEP;
	return lk_echo_judge(elapsed, age, window);
}

void lk_held_take(struct lk_held *h, const uint8_t *echo, size_t len, uint32_t now)
{
	if (len == 0 || len > LK_ECHO_MAX)
		return;
	memcpy(h->echo, echo, len);
	h->len = (uint8_t)len;
	h->at = now;
}

void lk_held_forget(struct lk_held *h)
{
	memset(h, 0, sizeof *h);
}

void lk_held_expire(struct lk_held *h, uint32_t now)
{
	if (apart(h->at, now))
		lk_held_forget(h);
}

int lk_held_find_age(struct lk_held *h, uint32_t intent, uint32_t now, int32_t *age)
{
	*age = 0;
	lk_held_expire(h, now);
	if (h->len == 0)
		return 0;
	int32_t d = (int32_t)(intent - h->at - LK_CLOCK_STEP);
	*age = d < MIN_AGE || apart(intent, now) ? MIN_AGE : d;
	return h->len;
}
