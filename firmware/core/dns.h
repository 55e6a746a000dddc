/*
 * The question for the IPv4 addresses of a name, and its answers: the same message for DNS (RFC
 * 1035 §4) and multicast DNS (RFC 6762 §6.7, "legacy unicast": from a port other than 5353, so the
 * answer comes to that port alone and repeats the question).
 *
 *	 0  2  id, the same in the answer
 *	 2  2  flags: 0x8000 an answer, 0x0100 a question that a DNS server is to follow
 *	 4  2  number of questions: 1
 *	 6  2  number of answers; then those of two more sections, which are not read
 *	12  …  the question: the name, as labels with their lengths; type A; class IN
 *	 …  …  each answer: a name, type, class, 4 bytes lifetime, 2 bytes length, and its value
 *
 * No pointer in a name is followed: an answer is recognised by the question that it repeats.
 * Nothing in an answer can be trusted. Only the handshake shows who has the key.
 */
#ifndef LK_DNS_H
#define LK_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LK_DNS_NAME = 63,                              /* characters of a name at most */
	LK_DNS_QUESTION = 12 + 1 + LK_DNS_NAME + 1 + 4, /* bytes of a question at most */
};

/* An answer that is being read. */
struct lk_dns {
	const uint8_t *b;
	size_t n, at;
	uint16_t left; /* answers not read yet */
};

/* Writes the question for name, which is valid by settings.h, and returns its length. recursive is
 * for a DNS server; multicast DNS leaves it away. */
size_t lk_dns_ask(uint8_t b[LK_DNS_QUESTION], const char *name, uint16_t id, bool recursive);

/* Begins to read b, which must outlive d. False if it is not an answer to that question. */
bool lk_dns_begin(struct lk_dns *d, const uint8_t *b, size_t n, const uint8_t *question, size_t question_n);

/* Returns the next IPv4 address, or 0 after the last one and where the rest is malformed. An
 * address 0.0.0.0 ends it, too. */
uint32_t lk_dns_next(struct lk_dns *d);

#endif
