/* The freshness rule, computed a second time with numbers that cannot overflow. */
#include <stdlib.h>
#include <string.h>

#include "echo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum lk_freshness judge(int64_t elapsed, int64_t age, int64_t window)
{
	if (age < -60000 || age > 601000)
		return LK_BAD_AGE;
	/* The time since the intent, and how far the intent may lie in the future: two clocks may
	 * differ by a thousandth and one ms. */
	int64_t since = elapsed - age, ahead = -since;
	if (elapsed < 0 || elapsed > 600000 || since > window || (ahead - 1) * 1000 > elapsed)
		return LK_STALE;
	return LK_FRESH;
}

static uint32_t word(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* An arbitrary word is rarely near a limit of the rule, so a small number means a limit and a
 * little more or less. */
static int32_t near_an_edge(const uint8_t *b)
{
	static const int32_t edges[] = {0, 1500, 3000, 599999, 600000, 601000, -60000, -3000, -1500, 999, 300000,
		596999, INT32_MAX - 128, INT32_MIN + 128};
	uint32_t w = word(b);
	if (b[0] >= 0x40)
		return (int32_t)w;
	if (b[0] >= 0x20)
		return (int32_t)(w % 700000) - 70000;
	return edges[b[1] % (sizeof edges / sizeof *edges)] + (int8_t)b[3];
}

static void check_rule(const uint8_t *b)
{
	int32_t elapsed = near_an_edge(b), age = near_an_edge(b + 4);
	int32_t window = b[8] & 1 ? LK_COMMAND_WINDOW : LK_SCAN_WINDOW;
	if (b[8] & 2)
		/* the number is the time since the intent, so that more messages are fresh */
		age = (int32_t)((uint32_t)elapsed - (uint32_t)age);
	if (lk_echo_judge(elapsed, age, window) != judge(elapsed, age, window))
		abort();
}

/* Issues, expires and checks Echoes while a 64-bit clock runs. Compares the results with a list in
 * which nothing expires by itself. */
static void check_life(const uint8_t *b, size_t size)
{
	struct lk_echoes x = {0};
	int64_t now = (int64_t)word(b) << 1, issued[LK_ECHO_KEEP] = {0};
	uint8_t count = 0, echo[LK_ECHO_LEN], random[LK_ECHO_LEN] = {0};
	for (b += 4, size -= 4; size >= 6; b += 6, size -= 6) {
		int64_t later = b[0] & 0x80 ? word(b + 1) % 86400000 : word(b + 1) % 6000;
		now += later;
		lk_echoes_expire(&x, (uint32_t)now);
		if (b[0] % 3 == 0) {
			if (count == 255)
				return;
			random[0] = ++count;
			issued[count % LK_ECHO_KEEP] = now;
			lk_echoes_issue(&x, (uint32_t)now, random, echo);
			continue;
		}
		memset(echo, 0, sizeof echo);
		echo[0] = (uint8_t)(count - b[5] % 8);
		bool known = b[5] % 8 < LK_ECHO_KEEP && b[5] % 8 < count;
		int64_t elapsed = known ? now - issued[echo[0] % LK_ECHO_KEEP] + LK_CLOCK_STEP : -1;
		int32_t age = b[0] & 0x40 ? (int32_t)(elapsed % 700000) - b[5] * 16 : (int32_t)word(b + 1) % 700000;
		enum lk_freshness got = lk_echoes_check(&x, echo, sizeof echo, age, LK_SCAN_WINDOW, (uint32_t)now);
		if (got != judge(elapsed, age, LK_SCAN_WINDOW))
			abort();
	}
}

/* No age makes the intent later than it was, and an expired Echo gives no age. */
static void check_age(const uint8_t *b)
{
	struct lk_held h = {0};
	int32_t age;
	uint32_t received = word(b);
	/* the time from receipt to sending, and from the intent to sending */
	int64_t waited = word(b + 4) % 1200000, since = word(b + 8) % 1200000;
	uint32_t now = received + (uint32_t)waited;
	lk_held_take(&h, b, 8, received);
	int len = lk_held_find_age(&h, now - (uint32_t)since, now, &age);
	int64_t want = waited - since - LK_CLOCK_STEP;
	if (want < -60000 || since > LK_ECHO_LIFE)
		want = -60000;
	if (waited > LK_ECHO_LIFE ? len != 0 || age != 0 : len != 8 || age != want)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 13)
		return 0;
	switch (data[0] % 3) {
	case 0:
		check_rule(data + 1);
		break;
	case 1:
		check_life(data + 1, size - 1);
		break;
	default:
		check_age(data + 1);
	}
	return 0;
}
