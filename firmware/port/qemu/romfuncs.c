/*
 * The integer helpers that gcc calls and that the ESP8266 has in its mask ROM, which is why
 * Debian's libgcc for lx106 leaves them out. What they cost is near the chip's, not the same.
 */
#include <stdint.h>

union pair {
	uint64_t v;
	struct {
		uint32_t lo, hi;
	} s;
};

uint32_t __udivsi3(uint32_t n, uint32_t d);
uint32_t __umodsi3(uint32_t n, uint32_t d);
int32_t __divsi3(int32_t a, int32_t b);
uint64_t __umulsidi3(uint32_t a, uint32_t b);
uint64_t __muldi3(uint64_t a, uint64_t b);
uint64_t __udivdi3(uint64_t a, uint64_t b);
uint64_t __umoddi3(uint64_t a, uint64_t b);
int64_t __divdi3(int64_t a, int64_t b);

static uint32_t divide(uint32_t n, uint32_t d, uint32_t *rest)
{
	uint32_t q = 0;
	int k;

	if (d == 0 || n < d) {
		*rest = n;
		return 0;
	}
	k = __builtin_clz(d) - __builtin_clz(n);
	for (d <<= k; k >= 0; k--, d >>= 1) {
		q <<= 1;
		if (n >= d) {
			n -= d;
			q |= 1;
		}
	}
	*rest = n;
	return q;
}

uint32_t __udivsi3(uint32_t n, uint32_t d)
{
	uint32_t rest;

	return divide(n, d, &rest);
}

uint32_t __umodsi3(uint32_t n, uint32_t d)
{
	uint32_t rest;

	divide(n, d, &rest);
	return rest;
}

int32_t __divsi3(int32_t a, int32_t b)
{
	uint32_t rest, q = divide(a < 0 ? -(uint32_t)a : (uint32_t)a, b < 0 ? -(uint32_t)b : (uint32_t)b, &rest);

	return (int32_t)((a ^ b) < 0 ? -q : q);
}

uint64_t __umulsidi3(uint32_t a, uint32_t b)
{
	uint32_t al = a & 0xFFFF, ah = a >> 16, bl = b & 0xFFFF, bh = b >> 16;
	uint32_t low = al * bl, one = al * bh, middle = one + ah * bl;
	union pair r;

	r.s.lo = low + (middle << 16);
	r.s.hi = ah * bh + (middle >> 16) + (r.s.lo < low) + (middle < one ? 0x10000u : 0);
	return r.v;
}

uint64_t __muldi3(uint64_t a, uint64_t b)
{
	union pair x = {.v = a}, y = {.v = b}, r = {.v = __umulsidi3(x.s.lo, y.s.lo)};

	r.s.hi += x.s.lo * y.s.hi + x.s.hi * y.s.lo;
	return r.v;
}

static uint64_t divide64(uint64_t n, uint64_t d, uint64_t *rest)
{
	uint64_t q = 0, r = 0;

	for (int i = 63; i >= 0; i--) {
		uint64_t top = r >> 63;

		r = r << 1 | (n >> i & 1);
		if (top != 0 || r >= d) {
			r -= d;
			q |= 1ull << i;
		}
	}
	*rest = r;
	return q;
}

uint64_t __udivdi3(uint64_t a, uint64_t b)
{
	uint64_t rest;

	return divide64(a, b, &rest);
}

uint64_t __umoddi3(uint64_t a, uint64_t b)
{
	uint64_t rest;

	divide64(a, b, &rest);
	return rest;
}

int64_t __divdi3(int64_t a, int64_t b)
{
	uint64_t x = a < 0 ? -(uint64_t)a : (uint64_t)a, y = b < 0 ? -(uint64_t)b : (uint64_t)b;
	uint64_t rest, q = divide64(x, y, &rest);

	return (int64_t)((a ^ b) < 0 ? -q : q);
}
