#include "link.h"

#include <string.h>

#include "err.h"

enum { BUSY_PAUSE = 1000 }; /* ms after 4.29 or 5.03, times 1…2 */

uint32_t lk_link_now(const struct lk_link *l) { return l->port->now(l->port->ctx); }

void lk_link_log(const struct lk_link *l, const char *text, uint32_t number)
{
	l->port->log(l->port->own, text, number);
}

uint32_t lk_link_jitter(const struct lk_link *l, uint32_t limit)
{
	uint32_t r;
	uint8_t b[4];

	if (l->port->random(l->port->ctx, b, sizeof b) < 0)
		return 0;
	memcpy(&r, b, sizeof r);
	return r % limit;
}

void lk_link_init(
	struct lk_link *l, const struct lk_port *port, const struct lk_settings *s, struct lk_dtls pair[2])
{
	l->port = port;
	l->settings = s;
	l->dtls = &pair[0];
	l->spare = &pair[1];
}

void lk_link_swap(struct lk_link *l)
{
	struct lk_dtls *session = l->spare;

	l->spare = l->dtls;
	l->dtls = session;
}

void lk_link_take_echo(struct lk_link *l, const struct lk_coap *m)
{
	struct lk_coap_option o = {0};

	while (lk_coap_next(m, &o))
		if (o.number == LK_COAP_ECHO)
			lk_held_take(&l->held, o.value, o.len, l->dtls->read_at);
}

int32_t lk_link_add_echo(struct lk_link *l, struct lk_coap_out *o, uint32_t at, uint32_t now)
{
	int32_t age;
	int len = lk_held_find_age(&l->held, at, now, &age);

	if (len > 0)
		lk_coap_option(o, LK_COAP_ECHO, l->held.echo, (size_t)len);
	return age;
}

void lk_link_forget_session(struct lk_link *l)
{
	lk_exchange_forget(&l->out);
	lk_held_forget(&l->held);
	lk_echoes_reset(&l->issued);
}

int lk_link_send(struct lk_link *l, const uint8_t *b, int n)
{
	if (n > 0 && lk_dtls_send(l->dtls, b, (size_t)n) < 0)
		return LK_ECLOSED;
	return 0;
}

int lk_link_send_request(struct lk_link *l, struct lk_coap_out *o, int payload_len, enum lk_purpose purpose)
{
	int len = lk_coap_end(o, payload_len);

	if (!lk_exchange_mark_sent(&l->out, len, lk_link_now(l), lk_link_jitter(l, UINT16_MAX))) {
		lk_link_log(l, "request does not fit", purpose);
		return 0;
	}
	l->purpose = purpose;
	return lk_link_send(l, l->out.b, l->out.n);
}

int lk_link_send_empty(struct lk_link *l, uint8_t type, uint16_t mid)
{
	struct lk_coap_out o;

	lk_coap_begin(&o, l->answer, sizeof l->answer, type, LK_COAP_EMPTY, mid, NULL, 0);
	return lk_link_send(l, l->answer, lk_coap_end(&o, 0));
}

void lk_link_hold_requests(struct lk_link *l)
{
	l->hold = lk_link_now(l) + BUSY_PAUSE + lk_link_jitter(l, BUSY_PAUSE);
}
