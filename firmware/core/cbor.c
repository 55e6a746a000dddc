#include "cbor.h"

#include <string.h>

#include "err.h"

/* The two halves of an argument are handled as 32-bit words: the chip has no wider ones, and would
 * call a function for each shift. */

static uint8_t *room(struct lk_cbor *c, size_t n)
{
	if (c->len < 0)
		return NULL;
	if (n > c->cap - (size_t)c->len) {
		c->len = LK_ESPACE;
		return NULL;
	}
	uint8_t *p = c->buf + c->len;
	c->len += (int)n;
	return p;
}

void lk_cbor_put_head(struct lk_cbor *c, uint8_t major, uint64_t arg)
{
	uint32_t high = (uint32_t)(arg >> 32), low = (uint32_t)arg;
	unsigned int first = 27, size = 8;
	if (high == 0) {
		if (low > 0xffff)
			first = 26, size = 4;
		else if (low > 0xff)
			first = 25, size = 2;
		else if (low >= 24)
			first = 24, size = 1;
		else
			first = low, size = 0;
	}
	uint8_t *p = room(c, 1 + size);
	if (p == NULL)
		return;
	*p = (uint8_t)(major | first);
	for (; size > 0; size--) {
		p[size] = (uint8_t)low;
		low = low >> 8 | high << 24;
		high >>= 8;
	}
}

void lk_cbor_put_int(struct lk_cbor *c, int32_t v)
{
	if (v < 0)
		lk_cbor_put_head(c, LK_CBOR_NINT, ~(uint32_t)v);
	else
		lk_cbor_put_head(c, LK_CBOR_UINT, (uint32_t)v);
}

void lk_cbor_put_byte(struct lk_cbor *c, uint8_t b)
{
	lk_cbor_put_bytes(c, &b, 1);
}

void lk_cbor_put_bytes(struct lk_cbor *c, const void *b, size_t n)
{
	uint8_t *p = room(c, n);
	if (p != NULL && n > 0)
		memcpy(p, b, n);
}

bool lk_cbor_take_head(const uint8_t **p, const uint8_t *end, uint8_t *major, uint64_t *arg)
{
	const uint8_t *b = *p;
	if (b == end)
		return false;
	uint32_t high = 0, low = *b & 0x1f;
	*major = *b++ & 0xe0;
	if (low > 27)
		return false;
	if (low >= 24) {
		unsigned int size = 1u << (low - 24);
		if (size > (size_t)(end - b))
			return false;
		low = 0;
		for (unsigned int i = 0; i < size; i++) {
			high = high << 8 | low >> 24;
			low = low << 8 | *b++;
		}
		/* The shortest form is the one whose upper half is needed. */
		if (size == 8 ? high == 0 : size == 1 ? low < 24 : low >> (4 * size) == 0)
			return false;
	}
	*arg = (uint64_t)high << 32 | low;
	*p = b;
	return true;
}

/* Whether b is UTF-8 (RFC 3629): no character in more bytes than it needs, no surrogate, nothing
 * above U+10FFFF. */
static bool utf8(const uint8_t *b, const uint8_t *end)
{
	while (b != end) {
		uint32_t c = *b++, least = 0x80;
		unsigned int more = 1;
		if (c < 0x80)
			continue;
		if ((c & 0xe0) == 0xc0)
			c &= 0x1f;
		else if ((c & 0xf0) == 0xe0)
			c &= 0x0f, more = 2, least = 0x800;
		else if ((c & 0xf8) == 0xf0)
			c &= 0x07, more = 3, least = 0x10000;
		else
			return false;
		for (; more > 0; more--) {
			if (b == end || (*b & 0xc0) != 0x80)
				return false;
			c = c << 6 | (*b++ & 0x3f);
		}
		if (c < least || c > 0x10ffff || (c & 0xfffff800) == 0xd800)
			return false;
	}
	return true;
}

bool lk_cbor_skip(const uint8_t **p, const uint8_t *end)
{
	bool array = false;
	uint8_t major;
	uint64_t arg;
	for (size_t items = 1; items > 0; items--) {
		if (*p != end && (**p == LK_CBOR_FALSE || **p == LK_CBOR_TRUE)) {
			(*p)++;
			continue;
		}
		if (!lk_cbor_take_head(p, end, &major, &arg))
			return false;
		if (major == LK_CBOR_UINT || major == LK_CBOR_NINT)
			continue;
		if (arg > (size_t)(end - *p)) /* an item of an array is a byte at the least */
			return false;
		if (major == LK_CBOR_ARRAY && !array) { /* the value itself: a scalar would have ended the loop */
			array = true;
			items += (size_t)arg;
		} else if (major == LK_CBOR_BYTES || (major == LK_CBOR_TEXT && utf8(*p, *p + arg))) {
			*p += arg;
		} else {
			return false;
		}
	}
	return true;
}
