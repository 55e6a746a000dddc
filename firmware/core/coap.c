#include "coap.h"

#include <string.h>

#include "err.h"

enum { HEADER = 4, VERSION = 1, MARKER = 0xff };

/* Reads the extended part of a delta or a length (§3.1): nibble 13 and 14 have one and two bytes
 * more, 15 is reserved. */
static bool extended(const uint8_t *b, size_t n, size_t *at, uint32_t nibble, uint32_t *v)
{
	*v = nibble;
	if (nibble == 13) {
		if (n - *at < 1)
			return false;
		*v = 13u + b[*at];
		*at += 1;
	} else if (nibble == 14) {
		if (n - *at < 2)
			return false;
		*v = 269u + ((uint32_t)b[*at] << 8 | b[*at + 1]);
		*at += 2;
	}
	return nibble != 15;
}

/* Reads one option header and value at *at. */
static bool option(const uint8_t *b, size_t n, size_t *at, uint32_t *delta, uint32_t *len)
{
	uint8_t first = b[(*at)++];

	if (!extended(b, n, at, first >> 4, delta) || !extended(b, n, at, first & 15, len) || *len > n - *at)
		return false;
	*at += *len;
	return true;
}

int lk_coap_parse(struct lk_coap *m, const uint8_t *b, size_t n)
{
	memset(m, 0, sizeof *m);
	if (n < HEADER || b[0] >> 6 != VERSION)
		return LK_ENONE;
	m->type = b[0] >> 4 & 3;
	m->code = b[1];
	m->mid = (uint16_t)(b[2] << 8 | b[3]);
	uint8_t class = m->code >> 5;
	if (class == 1 || class > 5) /* reserved (§4.2) */
		return LK_EMALFORMED;
	uint8_t token_len = b[0] & 15;
	if (token_len > LK_COAP_TOKEN_MAX || n - HEADER < token_len || (m->code == LK_COAP_EMPTY && n != HEADER))
		return LK_EMALFORMED;
	m->token_len = token_len;
	m->token = b + HEADER;
	m->options = b + HEADER + token_len;
	size_t at = HEADER + token_len;
	uint32_t number = 0, delta, len;
	while (at < n && b[at] != MARKER) {
		if (!option(b, n, &at, &delta, &len) || (number += delta) > UINT16_MAX)
			return LK_EMALFORMED;
	}
	m->options_len = at - HEADER - token_len;
	if (at < n) {
		m->payload = b + at + 1;
		m->payload_len = n - at - 1;
		if (m->payload_len == 0)
			return LK_EMALFORMED;
	}
	return 0;
}

bool lk_coap_next(const struct lk_coap *m, struct lk_coap_option *o)
{
	uint32_t delta = 0, len = 0;

	if (o->at >= m->options_len || !option(m->options, m->options_len, &o->at, &delta, &len))
		return false;
	o->number = (uint16_t)(o->number + delta);
	o->len = len;
	o->value = m->options + o->at - len;
	return true;
}

uint32_t lk_coap_uint(const struct lk_coap_option *o)
{
	uint32_t v = 0;

	if (o->len > 4)
		return UINT32_MAX;
	for (size_t i = 0; i < o->len; i++)
		v = v << 8 | o->value[i];
	return v;
}

static void append(struct lk_coap_out *o, const uint8_t *b, size_t n)
{
	if (o->failed || n > o->cap - o->n) {
		o->failed = true;
		return;
	}
	if (n > 0)
		memcpy(o->b + o->n, b, n);
	o->n += n;
}

void lk_coap_begin(struct lk_coap_out *o, uint8_t *b, size_t cap, uint8_t type, uint8_t code, uint16_t mid,
	const uint8_t *token, size_t token_len)
{
	uint8_t header[HEADER] = {
		(uint8_t)(VERSION << 6 | type << 4 | (int)token_len), code, (uint8_t)(mid >> 8), (uint8_t)mid};

	*o = (struct lk_coap_out){.b = b, .cap = cap, .failed = token_len > LK_COAP_TOKEN_MAX};
	append(o, header, HEADER);
	append(o, token, token_len);
}

/* Returns the nibble for v and writes its extended part to b. */
static uint8_t nibble(uint32_t v, uint8_t *b, size_t *n)
{
	if (v < 13)
		return (uint8_t)v;
	if (v < 269) {
		b[(*n)++] = (uint8_t)(v - 13);
		return 13;
	}
	b[(*n)++] = (uint8_t)((v - 269) >> 8);
	b[(*n)++] = (uint8_t)(v - 269);
	return 14;
}

void lk_coap_option(struct lk_coap_out *o, uint16_t number, const uint8_t *value, size_t len)
{
	uint8_t head[5];
	size_t n = 1;

	if (number < o->last || len > UINT16_MAX) {
		o->failed = true;
		return;
	}
	uint8_t delta = nibble((uint32_t)(number - o->last), head, &n);
	head[0] = (uint8_t)(delta << 4 | nibble((uint32_t)len, head, &n));
	append(o, head, n);
	append(o, value, len);
	o->last = number;
}

void lk_coap_option_uint(struct lk_coap_out *o, uint16_t number, uint32_t value)
{
	uint8_t b[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
	size_t skip = 0;

	while (skip < 4 && b[skip] == 0)
		skip++;
	lk_coap_option(o, number, b + skip, 4 - skip);
}

void lk_coap_option_path(struct lk_coap_out *o, uint16_t number, const char *path)
{
	for (;;) {
		const char *end = strchr(path, '/');
		size_t n = end ? (size_t)(end - path) : strlen(path);
		lk_coap_option(o, number, (const uint8_t *)path, n);
		if (!end)
			return;
		path = end + 1;
	}
}

uint8_t *lk_coap_payload(struct lk_coap_out *o, size_t *cap)
{
	*cap = o->failed || o->cap - o->n < 1 ? 0 : o->cap - o->n - 1;
	return o->b + o->n + (*cap > 0);
}

int lk_coap_end(struct lk_coap_out *o, int payload_len)
{
	size_t cap;

	(void)lk_coap_payload(o, &cap);
	if (o->failed || payload_len < 0 || (size_t)payload_len > cap)
		return LK_ESPACE;
	if (payload_len > 0) {
		o->b[o->n] = MARKER;
		o->n += 1 + (size_t)payload_len;
	}
	return (int)o->n;
}
