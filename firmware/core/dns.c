#include "dns.h"

#include <string.h>

enum {
	HEADER = 12,
	TYPE_A = 1,
	CLASS_IN = 1,
	UNIQUE = 0x8000, /* in the class: nobody else on the network has this name (RFC 6762 §10.2) */
	RECORD = 10,     /* bytes between the name of an answer and its value */
};

static uint16_t get16(const uint8_t *b) { return (uint16_t)(b[0] << 8 | b[1]); }

size_t lk_dns_ask(uint8_t b[LK_DNS_QUESTION], const char *name, uint16_t id, bool recursive)
{
	size_t n = strlen(name), label = HEADER;

	n -= name[n - 1] == '.';
	memset(b, 0, LK_DNS_QUESTION);
	b[0] = (uint8_t)(id >> 8);
	b[1] = (uint8_t)id;
	b[2] = recursive;
	b[5] = 1;
	memcpy(b + label + 1, name, n);
	n += label + 1;
	b[n] = '.'; /* the length of the label before goes where it began; the last one is 0 */
	for (size_t i = label + 1; i <= n; i++) {
		if (b[i] == '.') {
			b[label] = (uint8_t)(i - label - 1);
			label = i;
		}
	}
	b[n] = 0;
	b[n + 2] = b[n + 4] = 1; /* A, IN */
	return n + 5;
}

/* The rest of the flags does not matter: with an error there is no answer to read. */
bool lk_dns_begin(struct lk_dns *d, const uint8_t *b, size_t n, const uint8_t *question, size_t question_n)
{
	d->b = b;
	d->n = n;
	d->at = question_n;
	if (n < question_n || (b[2] & 0x80) == 0 || memcmp(b, question, 2) != 0 ||
		memcmp(b + 4, question + 4, 2) != 0 ||
		memcmp(b + HEADER, question + HEADER, question_n - HEADER) != 0)
		return false;
	d->left = get16(b + 6);
	return true;
}

/* Returns where the name at ends, or a place after the end of the message. */
static size_t skip_name(const struct lk_dns *d, size_t at)
{
	while (at < d->n) {
		uint8_t label = d->b[at];

		if (label >= 0xc0)
			return at + 2; /* a pointer ends it */
		at += 1u + label;
		if (label == 0)
			break;
	}
	return at;
}

uint32_t lk_dns_next(struct lk_dns *d)
{
	while (d->left > 0) {
		size_t at = skip_name(d, d->at);

		d->left--;
		if (at + RECORD > d->n)
			break;
		const uint8_t *record = d->b + at;
		size_t n = get16(record + 8);

		d->at = at + RECORD + n;
		if (d->at > d->n)
			break;
		if (n == 4 && get16(record) == TYPE_A && (get16(record + 2) | UNIQUE) == (CLASS_IN | UNIQUE))
			return (uint32_t)get16(record + RECORD) << 16 | get16(record + RECORD + 2);
	}
	d->left = 0;
	return 0;
}
