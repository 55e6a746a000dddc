#include "exchange.h"

#include <string.h>

enum { FIRST_WAIT = 1000, MIN_WAIT = 200, MAX_WAIT = 1000 };

static void put_token(uint8_t b[LK_TOKEN_LEN], uint32_t token)
{
	b[0] = (uint8_t)(token >> 24);
	b[1] = (uint8_t)(token >> 16);
	b[2] = (uint8_t)(token >> 8);
	b[3] = (uint8_t)token;
}

void lk_exchange_reset(struct lk_exchange *x, uint32_t random)
{
	memset(x, 0, sizeof *x);
	x->mid = (uint16_t)random;
}

void lk_exchange_begin(struct lk_exchange *x, struct lk_coap_out *o, uint8_t code, const char *path)
{
	uint8_t token[LK_TOKEN_LEN];

	x->active = false;
	put_token(token, ++x->token);
	lk_coap_begin(o, x->b, sizeof x->b, LK_COAP_CON, code, ++x->mid, token, sizeof token);
	lk_coap_option_path(o, LK_COAP_URI_PATH, path);
}

bool lk_exchange_mark_sent(struct lk_exchange *x, int n, uint32_t now, uint32_t random)
{
	if (n < 0)
		return false;
	x->n = (uint16_t)n;
	x->active = true;
	x->acked = false;
	x->repeats = 0;
	x->sent = now;
	x->wait = FIRST_WAIT + random % (FIRST_WAIT / 2);
	if (x->srtt != 0)
		x->wait = 2 * x->srtt < MIN_WAIT ? MIN_WAIT : 2 * x->srtt > MAX_WAIT ? MAX_WAIT : 2 * x->srtt;
	x->due = now + x->wait;
	return true;
}

static bool repeats(const struct lk_exchange *x)
{
	return x->active && !x->acked && x->repeats < LK_MAX_RETRANSMIT;
}

bool lk_exchange_must_retransmit(struct lk_exchange *x, uint32_t now)
{
	if (!repeats(x) || (int32_t)(now - x->due) < 0)
		return false;
	x->repeats++;
	x->wait *= 2;
	x->due = now + x->wait;
	return true;
}

uint32_t lk_exchange_due(const struct lk_exchange *x, uint32_t now)
{
	if (!repeats(x))
		return UINT32_MAX;
	return (int32_t)(x->due - now) < 0 ? 0 : x->due - now;
}

/* Only a request that was sent once gives a sample: otherwise nobody knows which copy was
 * answered (Karn). */
static void sample(struct lk_exchange *x, uint32_t now)
{
	uint32_t rtt = now - x->sent;

	if (x->repeats != 0 || x->acked)
		return;
	if (rtt < 1)
		rtt = 1;
	x->srtt = x->srtt == 0 ? rtt : (7 * x->srtt + rtt) / 8;
}

/* Tells whether a message has the token of our present request or of an earlier one. */
static bool issued(const struct lk_exchange *x, const struct lk_coap *m, uint32_t *token)
{
	const uint8_t *b = m->token;

	if (m->token_len != LK_TOKEN_LEN)
		return false;
	*token = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	return *token != 0 && *token <= x->token;
}

enum lk_exchange_match lk_exchange_take(struct lk_exchange *x, const struct lk_coap *m, uint32_t now)
{
	uint32_t token = 0;
	bool separate = m->type == LK_COAP_CON || m->type == LK_COAP_NON;

	if (separate && m->code >> 5 != 0 && issued(x, m, &token) && !(x->active && token == x->token))
		return LK_EXCHANGE_LATE;
	if (!x->active || !(separate || m->mid == x->mid))
		return LK_EXCHANGE_OTHER;
	if (m->type == LK_COAP_RST) {
		x->active = false;
		return LK_EXCHANGE_RESET;
	}
	if (m->code == LK_COAP_EMPTY) {
		if (m->type != LK_COAP_ACK)
			return LK_EXCHANGE_OTHER;
		sample(x, now);
		x->acked = true;
		return LK_EXCHANGE_ACKED;
	}
	if (m->code >> 5 == 0 || !issued(x, m, &token) || token != x->token)
		return LK_EXCHANGE_OTHER;
	if (!separate) /* a separate response includes the other side's work */
		sample(x, now);
	x->active = false;
	return LK_EXCHANGE_ANSWER;
}

void lk_exchange_forget(struct lk_exchange *x) { x->active = false; }
