/*
 * The part of CBOR (RFC 8949) that a node needs: the heads of items. They are read and written in
 * their shortest form only. The caller knows what an item means.
 */
#ifndef LK_CBOR_H
#define LK_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Major types, as the top three bits of an item's first byte (§3.1), and the two simple values that
 * are used. */
enum {
	LK_CBOR_UINT = 0x00,
	LK_CBOR_NINT = 0x20,
	LK_CBOR_BYTES = 0x40,
	LK_CBOR_TEXT = 0x60,
	LK_CBOR_ARRAY = 0x80,
	LK_CBOR_MAP = 0xa0,
	LK_CBOR_FALSE = 0xf4,
	LK_CBOR_TRUE = 0xf5,
};

/* A writer on the caller's buffer. When something does not fit, len becomes LK_ESPACE and
 * nothing more is written. */
struct lk_cbor {
	uint8_t *buf;
	size_t cap;
	int len; /* bytes written, or a negative LK_E… */
};

void lk_cbor_put_head(struct lk_cbor *c, uint8_t major, uint64_t arg);
void lk_cbor_put_int(struct lk_cbor *c, int32_t v);
void lk_cbor_put_byte(struct lk_cbor *c, uint8_t b);
void lk_cbor_put_bytes(struct lk_cbor *c, const void *b, size_t n);

/* Reads a head from *p, which it moves behind it; false when there is none before end, when it is
 * not in its shortest form, or when it has an indefinite or reserved length. */
bool lk_cbor_take_head(const uint8_t **p, const uint8_t *end, uint8_t *major, uint64_t *arg);

/* Moves *p behind one value of an elective member: an integer, a byte string, a text in UTF-8,
 * false or true, or one array of these, in their shortest form. False for anything else. */
bool lk_cbor_skip(const uint8_t **p, const uint8_t *end);

#endif
