/* CoAP messages (RFC 7252 §3) read from and written to the caller's buffer. It sends nothing and
 * waits for nothing. */
#ifndef LK_COAP_H
#define LK_COAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LK_COAP_CON = 0, LK_COAP_NON = 1, LK_COAP_ACK = 2, LK_COAP_RST = 3 };

#define LK_COAP_CODE(class, detail) ((class) << 5 | (detail))
enum {
	LK_COAP_EMPTY = 0,
	LK_COAP_GET = LK_COAP_CODE(0, 1),
	LK_COAP_POST = LK_COAP_CODE(0, 2),
	LK_COAP_CREATED = LK_COAP_CODE(2, 1),
	LK_COAP_CHANGED = LK_COAP_CODE(2, 4),
	LK_COAP_CONTENT = LK_COAP_CODE(2, 5),
	LK_COAP_BAD_REQUEST = LK_COAP_CODE(4, 0),
	LK_COAP_UNAUTHORIZED = LK_COAP_CODE(4, 1),
	LK_COAP_BAD_OPTION = LK_COAP_CODE(4, 2),
	LK_COAP_NOT_FOUND = LK_COAP_CODE(4, 4),
	LK_COAP_NOT_ALLOWED = LK_COAP_CODE(4, 5),
	LK_COAP_NOT_ACCEPTABLE = LK_COAP_CODE(4, 6),
	LK_COAP_UNSUPPORTED_FORMAT = LK_COAP_CODE(4, 15),
	LK_COAP_TOO_MANY_REQUESTS = LK_COAP_CODE(4, 29),
	LK_COAP_UNAVAILABLE = LK_COAP_CODE(5, 3),
};

/* Option numbers of RFC 7252 §5.10 and RFC 9175. An odd one is critical. */
enum {
	LK_COAP_URI_HOST = 3,
	LK_COAP_URI_PORT = 7,
	LK_COAP_LOCATION_PATH = 8,
	LK_COAP_URI_PATH = 11,
	LK_COAP_CONTENT_FORMAT = 12,
	LK_COAP_URI_QUERY = 15,
	LK_COAP_ACCEPT = 17,
	LK_COAP_ECHO = 252,
};

enum { LK_FORMAT_LINKS = 40, LK_FORMAT_CBOR = 60, LK_FORMAT_SENML_CBOR = 112 };

enum { LK_COAP_TOKEN_MAX = 8 };

/* A message that was read. Its pointers point into the datagram, which must live as long as this
 * is used. */
struct lk_coap {
	uint8_t type, code, token_len;
	uint16_t mid;
	const uint8_t *token, *options, *payload;
	size_t options_len, payload_len;
};

/* Reads one message and checks all of it. LK_EMALFORMED: it must be rejected; type and mid are
 * set (§4.2). LK_ENONE: it must be ignored, because it is too short for a header or of another
 * version (§3). */
int lk_coap_parse(struct lk_coap *m, const uint8_t *b, size_t n);

struct lk_coap_option {
	uint16_t number;
	const uint8_t *value;
	size_t len;
	size_t at; /* where the next one begins */
};

/* Goes to the next option; false after the last. Start with a zeroed o. */
bool lk_coap_next(const struct lk_coap *m, struct lk_coap_option *o);

/* The value of an option that is an unsigned integer (§3.2); UINT32_MAX if it is longer than four
 * bytes. */
uint32_t lk_coap_uint(const struct lk_coap_option *o);

/* A message that is being written. If something does not fit, lk_coap_end returns an error. */
struct lk_coap_out {
	uint8_t *b;
	size_t cap, n;
	uint16_t last;
	bool failed;
};

void lk_coap_begin(struct lk_coap_out *o, uint8_t *b, size_t cap, uint8_t type, uint8_t code, uint16_t mid,
	const uint8_t *token, size_t token_len);

/* Options go in ascending order of their numbers. */
void lk_coap_option(struct lk_coap_out *o, uint16_t number, const uint8_t *value, size_t len);
void lk_coap_option_uint(struct lk_coap_out *o, uint16_t number, uint32_t value);
/* One option for each part of a path like "rd/4f2a". */
void lk_coap_option_path(struct lk_coap_out *o, uint16_t number, const char *path);

/* Returns where to write the payload, and in cap how much fits. */
uint8_t *lk_coap_payload(struct lk_coap_out *o, size_t *cap);
/* Ends the message with payload_len bytes of payload. A negative length, as an encoder may
 * return, is an error. Returns the length of the message or LK_ESPACE. */
int lk_coap_end(struct lk_coap_out *o, int payload_len);

#endif
