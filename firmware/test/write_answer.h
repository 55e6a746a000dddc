/* An answer of the gateway, for tests that play it. */
#ifndef LK_WRITE_ANSWER_H
#define LK_WRITE_ANSWER_H

#include "check.h"
#include "coap.h"

/* Writes the piggybacked answer to a request into b and returns its length. location and echo (of 8
 * bytes) may be NULL: then the answer has no such option. */
static inline size_t write_answer(uint8_t *b, size_t cap, const struct lk_coap *request, uint8_t code,
	const char *location, const uint8_t *echo, const uint8_t *payload, size_t n)
{
	struct lk_coap_out o;
	size_t room;

	lk_coap_begin(&o, b, cap, LK_COAP_ACK, code, request->mid, request->token, request->token_len);
	if (location)
		lk_coap_option_path(&o, LK_COAP_LOCATION_PATH, location);
	if (echo)
		lk_coap_option(&o, LK_COAP_ECHO, echo, 8);
	uint8_t *p = lk_coap_payload(&o, &room);
	if (n > 0)
		memcpy(p, payload, n);
	int len = lk_coap_end(&o, (int)n);
	CHECK(len > 0);
	return (size_t)len;
}

#endif
