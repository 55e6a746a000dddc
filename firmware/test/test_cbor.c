/* The CBOR that is read: each head in one form only, and texts that are UTF-8. The vectors of
 * test_wire_vectors check everything else, and what is written. */
#include "cbor.h"
#include "check.h"

/* RFC 8949 §3 and §4.2.1: reserved and indefinite lengths are refused, and so are arguments that
 * have a shorter form. */
static void a_head_has_one_form(void)
{
	static const struct {
		uint8_t b[9];
		size_t n;
	} longer[] = {{{0x18, 23}, 2}, {{0x19, 0, 255}, 3}, {{0x1a, 0, 0, 255, 255}, 5},
		{{0x1b, 0, 0, 0, 0, 255, 255, 255, 255}, 9}},
	  shortest[] = {{{0x17}, 1}, {{0x18, 24}, 2}, {{0x19, 1, 0}, 3}, {{0x1a, 0, 1, 0, 0}, 5},
		  {{0x1b, 0, 0, 0, 1, 0, 0, 0, 0}, 9}};
	uint8_t major, b[9] = {0};
	uint64_t arg;

	for (int first = 0; first < 256; first++) {
		const uint8_t *p = b;
		memset(b, 0xff, sizeof b);
		b[0] = (uint8_t)first;
		CHECK_EQ(lk_cbor_take_head(&p, b + sizeof b, &major, &arg), (first & 31) < 28);
	}
	for (size_t i = 0; i < sizeof longer / sizeof *longer; i++) {
		const uint8_t *p = longer[i].b;
		CHECK(!lk_cbor_take_head(&p, p + longer[i].n, &major, &arg));
	}
	for (size_t i = 0; i < sizeof shortest / sizeof *shortest; i++) {
		const uint8_t *p = shortest[i].b, *end = p + shortest[i].n;
		CHECK(lk_cbor_take_head(&p, end, &major, &arg) && p == end);
	}
}

/* Writes c in that many bytes, even if fewer would do, and reads it as a text. */
static bool is_utf8(uint32_t c, unsigned int bytes)
{
	static const uint8_t firsts[] = {0, 0, 0xc0, 0xe0, 0xf0};
	uint8_t b[5] = {(uint8_t)(LK_CBOR_TEXT + bytes)};
	const uint8_t *p = b;

	for (unsigned int i = bytes; i > 1; i--, c >>= 6)
		b[i] = (uint8_t)(0x80 | (c & 0x3f));
	b[1] = (uint8_t)(firsts[bytes] | c);
	return lk_cbor_skip(&p, b + 1 + bytes) && p == b + 1 + bytes;
}

/* RFC 3629 §3: each character has one form, and a surrogate has none. */
static void a_text_is_utf_8(void)
{
	unsigned int wrong = 0;

	for (uint32_t c = 0; c < 0x200000; c += c < 0x11000 ? 1 : 0xfff) {
		unsigned int bytes = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
		wrong += is_utf8(c, bytes) != ((c < 0xd800 || c > 0xdfff) && c <= 0x10ffff);
		for (unsigned int more = bytes + 1; more <= 4; more++)
			wrong += is_utf8(c, more);
	}
	CHECK_EQ(wrong, 0);
	CHECK(is_utf8(0x10ffff, 4) && !is_utf8(0x110000, 4));
}

int main(void)
{
	a_head_has_one_form();
	a_text_is_utf_8();
	return check_end("cbor");
}
