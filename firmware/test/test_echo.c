#include <stdbool.h>
#include <stdint.h>

#include "check.h"
#include "echo.h"

enum { STEP = LK_CLOCK_STEP, MINUTE = 60000, DAY = 86400000 };

static const uint8_t bytes[8][LK_ECHO_LEN] = {{1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}};

static enum lk_freshness check(struct lk_echoes *x, int which, int32_t age, uint32_t now)
{
	return lk_echoes_check(x, bytes[which], LK_ECHO_LEN, age, LK_SCAN_WINDOW, now);
}

static void issue(struct lk_echoes *x, int which, uint32_t now)
{
	uint8_t out[LK_ECHO_LEN] = {0};
	lk_echoes_issue(x, now, bytes[which], out);
	CHECK(memcmp(out, bytes[which], sizeof out) == 0);
}

/* Each rule also holds while the clock wraps. */
static void check_issued_echoes(uint32_t at)
{
	struct lk_echoes x = {0};
	uint8_t echo[LK_ECHO_LEN + 1] = {0};

	/* before the first Echo is issued none is known, not even one of all zeros */
	CHECK_EQ(lk_echoes_check(&x, echo, LK_ECHO_LEN, 0, LK_SCAN_WINDOW, at), LK_STALE);
	issue(&x, 0, at);
	CHECK_EQ(lk_echoes_check(&x, echo, LK_ECHO_LEN, 0, LK_SCAN_WINDOW, at), LK_STALE);
	/* an Echo may be used twice: counters stop replays */
	CHECK_EQ(check(&x, 0, 0, at), LK_FRESH);
	CHECK_EQ(check(&x, 0, 0, at), LK_FRESH);
	/* the tap came before the Echo */
	CHECK_EQ(check(&x, 0, -LK_SCAN_WINDOW + STEP, at), LK_FRESH);
	CHECK_EQ(check(&x, 0, -LK_SCAN_WINDOW + STEP - 1, at), LK_STALE);
	/* the uncertainty of the clock's step makes a message older, at the end of the window too */
	CHECK_EQ(check(&x, 0, 0, at + LK_SCAN_WINDOW - STEP), LK_FRESH);
	CHECK_EQ(check(&x, 0, 0, at + LK_SCAN_WINDOW - STEP + 1), LK_STALE);
	/* an impossible age is reported with any Echo */
	CHECK_EQ(check(&x, 0, -60001, at), LK_BAD_AGE);
	CHECK_EQ(check(&x, 1, 601001, at), LK_BAD_AGE);
	/* the tap is still to come */
	CHECK_EQ(check(&x, 0, STEP + 2, at), LK_STALE);
	/* a time before the Echo was issued is not fresh, and the Echo stays known */
	CHECK_EQ(check(&x, 0, 0, at - 1), LK_STALE);
	CHECK_EQ(check(&x, 0, 0, at), LK_FRESH);
	/* an Echo that was never issued, one too short, one too long, and none */
	CHECK_EQ(check(&x, 1, 0, at), LK_STALE);
	memcpy(echo, bytes[0], LK_ECHO_LEN);
	CHECK_EQ(lk_echoes_check(&x, echo, LK_ECHO_LEN - 1, 0, LK_SCAN_WINDOW, at), LK_STALE);
	CHECK_EQ(lk_echoes_check(&x, echo, LK_ECHO_LEN + 1, 0, LK_SCAN_WINDOW, at), LK_STALE);
	CHECK_EQ(lk_echoes_check(&x, NULL, 0, 0, LK_SCAN_WINDOW, at), LK_STALE);
	/* one wrong bit anywhere is another Echo */
	for (int bit = 0; bit < 8 * LK_ECHO_LEN; bit++) {
		echo[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK_EQ(lk_echoes_check(&x, echo, LK_ECHO_LEN, 0, LK_SCAN_WINDOW, at), LK_STALE);
		echo[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	/* after nine minutes the Echo still tells a new tap from an old one */
	CHECK_EQ(check(&x, 0, 9 * MINUTE, at + 9 * MINUTE), LK_FRESH);
	CHECK_EQ(check(&x, 0, 9 * MINUTE - 4000, at + 9 * MINUTE), LK_STALE);
	/* an Echo lives for ten minutes */
	CHECK_EQ(check(&x, 0, 10 * MINUTE - STEP, at + 10 * MINUTE - STEP), LK_FRESH);
	CHECK_EQ(check(&x, 0, 10 * MINUTE, at + 10 * MINUTE + 1), LK_STALE);
	/* then it is forgotten, not only old */
	CHECK_EQ(check(&x, 0, 0, at), LK_STALE);
	/* the newest four are known and the fifth is not, however many were issued */
	for (int i = 0; i < 8; i++)
		issue(&x, i, at + 700000);
	CHECK_EQ(check(&x, 4, 0, at + 700000), LK_FRESH);
	CHECK_EQ(check(&x, 7, 0, at + 700000), LK_FRESH);
	CHECK_EQ(check(&x, 3, 0, at + 700000), LK_STALE);
	issue(&x, 0, at + 700001);
	CHECK_EQ(check(&x, 4, 0, at + 700001), LK_STALE);
	CHECK_EQ(check(&x, 0, 0, at + 700001), LK_FRESH);
	/* a reset forgets all Echoes */
	lk_echoes_reset(&x);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(check(&x, i, 0, at + 700001), LK_STALE);
}

static void an_old_echo_is_not_new_again_after_the_clock_wrapped(uint32_t at)
{
	struct lk_echoes x = {0};
	struct lk_held h = {0};
	int32_t age;

	issue(&x, 0, at);
	lk_held_take(&h, bytes[0], LK_ECHO_LEN, at);
	for (uint32_t days = 1; days < 50; days++) {
		lk_echoes_expire(&x, at + days * DAY);
		lk_held_expire(&h, at + days * DAY);
	}
	CHECK_EQ(check(&x, 0, 0, at + 1), LK_STALE); /* 2^32 + 1 ms after it was issued */
	CHECK_EQ(lk_held_find_age(&h, at, at + 1, &age), 0);

	/* nor is one that was not checked for more than half the clock's range */
	issue(&x, 0, at);
	lk_held_take(&h, bytes[0], LK_ECHO_LEN, at);
	lk_echoes_expire(&x, at + 30u * DAY);
	lk_held_expire(&h, at + 30u * DAY);
	CHECK_EQ(check(&x, 0, 0, at + 1), LK_STALE);
	CHECK_EQ(lk_held_find_age(&h, at, at + 1, &age), 0);

	/* issuing a new one drops the expired ones */
	issue(&x, 0, at);
	issue(&x, 1, at + 11 * MINUTE);
	CHECK_EQ(check(&x, 0, 0, at + 1), LK_STALE);

	/* expire keeps every Echo that still lives */
	issue(&x, 1, at);
	lk_held_take(&h, bytes[1], LK_ECHO_LEN, at);
	lk_echoes_expire(&x, at + 10 * MINUTE);
	lk_held_expire(&h, at + 10 * MINUTE);
	lk_echoes_expire(&x, at - 5);
	lk_held_expire(&h, at - 5);
	CHECK_EQ(check(&x, 1, 0, at), LK_FRESH);
	CHECK_EQ(lk_held_find_age(&h, at, at, &age), LK_ECHO_LEN);
}

static void check_held_echo(uint32_t at)
{
	struct lk_held h = {0};
	const uint8_t longest[LK_ECHO_MAX + 1] = {9, 8, 7};
	int32_t age = 1;

	CHECK_EQ(lk_held_find_age(&h, at, at, &age), 0);
	CHECK_EQ(age, 0);
	/* an empty Echo and one too long are ignored, and the held one stays */
	lk_held_take(&h, NULL, 0, at);
	lk_held_take(&h, longest, LK_ECHO_MAX + 1, at);
	CHECK_EQ(lk_held_find_age(&h, at, at, &age), 0);
	lk_held_take(&h, longest, LK_ECHO_MAX, at);
	lk_held_take(&h, NULL, 0, at + 1);
	CHECK_EQ(lk_held_find_age(&h, at, at, &age), LK_ECHO_MAX);
	CHECK(memcmp(h.echo, longest, LK_ECHO_MAX) == 0);
	/* an age counts one step of the clock more than the clock says */
	lk_held_take(&h, bytes[0], LK_ECHO_LEN, at);
	CHECK_EQ(lk_held_find_age(&h, at, at, &age), LK_ECHO_LEN);
	CHECK_EQ(age, -STEP);
	CHECK_EQ(lk_held_find_age(&h, at - 1500, at, &age), LK_ECHO_LEN);
	CHECK_EQ(age, -1500 - STEP);
	CHECK_EQ(lk_held_find_age(&h, at + 2000, at + 2000, &age), LK_ECHO_LEN);
	CHECK_EQ(age, 2000 - STEP);
	/* no age is below the least one that a sender may claim */
	CHECK_EQ(lk_held_find_age(&h, at - 70000, at, &age), LK_ECHO_LEN);
	CHECK_EQ(age, -60000);
	CHECK_EQ(lk_held_find_age(&h, at + 0x80000000u + STEP, at, &age), LK_ECHO_LEN);
	CHECK_EQ(age, -60000);
	CHECK_EQ(lk_held_find_age(&h, at + 0x7fff0000, at, &age), LK_ECHO_LEN);
	CHECK_EQ(age, -60000);
	/* a time read a little before the intent does no harm */
	CHECK_EQ(lk_held_find_age(&h, at + 1000, at - 1, &age), LK_ECHO_LEN);
	CHECK_EQ(age, 1000 - STEP);
	/* an Echo lives for ten minutes */
	CHECK_EQ(lk_held_find_age(&h, at + 10 * MINUTE, at + 10 * MINUTE, &age), LK_ECHO_LEN);
	CHECK_EQ(age, 10 * MINUTE - STEP);
	CHECK_EQ(lk_held_find_age(&h, at, at + 10 * MINUTE + 1, &age), 0);
	CHECK_EQ(age, 0);
	CHECK_EQ(lk_held_find_age(&h, at, at, &age), 0);
	lk_held_take(&h, bytes[0], LK_ECHO_LEN, at);
	lk_held_forget(&h);
	CHECK_EQ(lk_held_find_age(&h, at, at, &age), 0);
}

static uint64_t seed = 0x9e3779b97f4a7c15;

static int64_t below(int64_t limit)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (int64_t)(seed >> 1) % limit;
}

/* What a clock that moves in steps of step ms and soon wraps reads at a true time in µs. */
static uint32_t reading(int64_t us, int64_t step, uint32_t start)
{
	return start + (uint32_t)(us / (1000 * step) * step);
}

static int64_t rounded_down(int64_t us)
{
	return us >= 0 ? us / 1000 : -((-us + 999) / 1000);
}

/* Whatever the network and the clocks' steps do, a message that is judged fresh is never older than
 * the window, and a message without delay is fresh. One side is a node; the other may be a gateway,
 * whose clock is exact. */
static void fresh_is_recent(bool node_issues, bool node_holds, int32_t window)
{
	int fresh = 0, wrong = 0;
	for (int i = 0; i < 200000; i++) {
		const int64_t second = 1000000, step = 1 + below(STEP);
		const uint32_t start = (uint32_t)0 - (uint32_t)below(60000) / (uint32_t)step * (uint32_t)step;
		int64_t issued = 10 * second + below(60 * second);
		int64_t received = issued + below(6 * second);
		int64_t tapped = received + below(20 * second) - 8 * second;
		int64_t sent = tapped > received ? tapped : received;
		int64_t arrived = sent + below(6 * second);

		struct lk_held h = {0};
		struct lk_echoes x = {0};
		uint8_t echo[LK_ECHO_LEN];
		int32_t age = (int32_t)rounded_down(tapped - received);
		lk_echoes_issue(&x, reading(issued, step, start), bytes[0], echo);
		if (node_holds) {
			lk_held_take(&h, echo, LK_ECHO_LEN, reading(received, step, start));
			lk_held_find_age(&h, reading(tapped, step, start), reading(sent, step, start), &age);
		}
		int32_t elapsed = (int32_t)-rounded_down(issued - arrived);
		enum lk_freshness got = node_issues ?
			lk_echoes_check(&x, echo, LK_ECHO_LEN, age, window, reading(arrived, step, start)) :
			lk_echo_judge(elapsed, age, window);

		int64_t waited = received > tapped ? received - tapped : 0;
		int64_t detour = received - issued + arrived - sent + waited;
		fresh += got == LK_FRESH;
		if (got == LK_FRESH ? arrived - tapped > 1000 * (int64_t)window
							: detour < 1000 * (window - 4 * STEP - 3))
			wrong++;
	}
	CHECK_EQ(wrong, 0);
	CHECK(fresh > 1000);
}

/* After a reset no Echo is known, not even one of a value that is easy to guess. */
static void a_reset_leaves_no_echo(void)
{
	static const uint8_t fills[] = {0, 1, 0xff};
	struct lk_echoes x;
	uint8_t echo[LK_ECHO_LEN], out[LK_ECHO_LEN];

	for (size_t i = 0; i < sizeof fills; i++) {
		memset(echo, fills[i], sizeof echo);
		memset(&x, 0, sizeof x);
		for (int n = 0; n < LK_ECHO_KEEP; n++)
			lk_echoes_issue(&x, 1000, echo, out);
		CHECK_EQ(lk_echoes_check(&x, echo, sizeof echo, 0, LK_COMMAND_WINDOW, 1000), LK_FRESH);
		lk_echoes_reset(&x);
		for (size_t n = 0; n < LK_ECHO_KEEP; n++)
			CHECK(!x.issued[n].used);
		CHECK_EQ(lk_echoes_check(&x, echo, sizeof echo, 0, LK_COMMAND_WINDOW, 1000), LK_STALE);
	}
}

int main(void)
{
	a_reset_leaves_no_echo();
	CHECK_EQ((enum lk_freshness)0, LK_STALE);
	static const uint32_t moments[] = {0, 1, 700000, 0x7fffffff, 0x80000000, UINT32_MAX - 1000, UINT32_MAX};
	for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
		check_issued_echoes(moments[i]);
		check_held_echo(moments[i]);
		an_old_echo_is_not_new_again_after_the_clock_wrapped(moments[i]);
	}
	fresh_is_recent(true, false, LK_COMMAND_WINDOW);
	fresh_is_recent(false, true, LK_SCAN_WINDOW);
	fresh_is_recent(true, true, LK_SCAN_WINDOW);
	return check_end("echo");
}
