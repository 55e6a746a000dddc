/*
 * What a node serves beside /.well-known/core: the actuator that it moves, if there is one, as the
 * resource /act. It is a struct of functions, so that the image of a node that moves nothing does
 * not contain its code.
 */
#ifndef LK_RESOURCE_H
#define LK_RESOURCE_H

#include "actuator.h"
#include "link.h"

/* What a request of the gateway asks for. */
struct lk_request {
	bool act, core;
	uint16_t bad_option;     /* the first that is critical and not known, or 0 */
	uint32_t format, accept; /* UINT32_MAX: not said */
	const uint8_t *echo;
	size_t echo_len;
};

/* The text of a refusal (RFC 7252 §5.5.2): the option or member that was wrong, or its number if
 * it has no name here. */
struct lk_refusal {
	const char *text;
	uint16_t number; /* 0: none */
};

struct lk_resource {
	/* The links of RFC 6690: their length, or LK_ESPACE. */
	int (*write_links)(const struct lk_actuator *a, uint8_t *b, size_t cap);
	/* Obeys the command that was posted and fills in its receipt, or says why not. Returns the
	 * code. */
	uint8_t (*obey)(struct lk_link *l, struct lk_actuator *a, const struct lk_coap *m,
		const struct lk_request *r, struct lk_receipt *receipt, struct lk_refusal *why);
	/* Writes the state for a GET, or the receipt: the length, or negative. */
	int (*write_content)(const struct lk_link *l, const struct lk_actuator *a, bool get,
		struct lk_receipt *receipt, uint8_t *b, size_t cap);
	void (*begin_session)(struct lk_actuator *a);
	void (*lose_session)(struct lk_actuator *a);
};

struct lk_served {
	const struct lk_resource *resource; /* NULL: there is none */
	struct lk_actuator *actuator;
};

#endif
