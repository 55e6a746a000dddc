#include "serve.h"

#include <string.h>

static bool is(const struct lk_coap_option *o, const char *text)
{
	return o->len == strlen(text) && memcmp(o->value, text, o->len) == 0;
}

static void read_request(const struct lk_coap *m, struct lk_request *r)
{
	struct lk_coap_option o = {0};
	uint32_t segments = 0;
	bool well_known = false;

	*r = (struct lk_request){.format = UINT32_MAX, .accept = UINT32_MAX};
	while (lk_coap_next(m, &o)) {
		switch (o.number) {
		case LK_COAP_URI_PATH:
			r->act = segments == 0 && is(&o, "act");
			r->core = segments == 1 && well_known && is(&o, "core");
			well_known = segments == 0 && is(&o, ".well-known");
			segments++;
			break;
		case LK_COAP_CONTENT_FORMAT:
			r->format = lk_coap_uint(&o);
			break;
		case LK_COAP_ACCEPT:
			r->accept = lk_coap_uint(&o);
			break;
		case LK_COAP_ECHO:
			r->echo = o.value;
			r->echo_len = o.len;
			break;
		case LK_COAP_URI_HOST:
		case LK_COAP_URI_PORT:
		case LK_COAP_URI_QUERY:
			break;
		default:
			if ((o.number & 1) && r->bad_option == 0) /* RFC 7252 §5.4.1 */
				r->bad_option = o.number;
		}
	}
}

static int write_refusal(const struct lk_refusal *w, uint8_t *b, size_t cap)
{
	size_t n = strlen(w->text);
	uint16_t unit = 1;

	if (n + 6 > cap) /* a space and five digits */
		return 0;
	memcpy(b, w->text, n);
	if (w->number == 0)
		return (int)n;
	b[n++] = ' ';
	while (w->number / unit >= 10)
		unit = (uint16_t)(unit * 10);
	for (; unit > 0; unit /= 10)
		b[n++] = (uint8_t)('0' + w->number / unit % 10);
	return (int)n;
}

/* Does what a request asks for, and returns the code of its answer. */
static uint8_t handle(struct lk_link *l, const struct lk_served *s, const struct lk_coap *m,
	const struct lk_request *r, struct lk_receipt *receipt, struct lk_refusal *why)
{
	if (r->bad_option != 0) {
		*why = (struct lk_refusal){"option", r->bad_option};
		return LK_COAP_BAD_OPTION;
	}
	if (!r->core && !(r->act && s->resource))
		return LK_COAP_NOT_FOUND;
	if (r->accept != UINT32_MAX && r->accept != (r->core ? LK_FORMAT_LINKS : LK_FORMAT_CBOR)) {
		why->text = "Accept";
		return LK_COAP_NOT_ACCEPTABLE;
	}
	if (m->code == LK_COAP_GET)
		return LK_COAP_CONTENT;
	if (r->act && m->code == LK_COAP_POST)
		return s->resource->obey(l, s->actuator, m, r, receipt, why);
	why->text = "method";
	return LK_COAP_NOT_ALLOWED;
}

/* A repeated request is served again and not answered from memory. RFC 7252 §4.5 allows that if
 * it changes nothing: reading a state changes nothing, and a command with a known id moves
 * nothing. */
int lk_serve_request(struct lk_link *l, const struct lk_served *s, const struct lk_coap *m)
{
	struct lk_request r;
	struct lk_receipt receipt = {0};
	struct lk_coap_out o;
	struct lk_refusal why = {"Uri-Path", 0};
	uint8_t random[8], echo[8];
	size_t cap;
	int len = 0;

	read_request(m, &r);
	uint8_t code = handle(l, s, m, &r, &receipt, &why);

	lk_coap_begin(&o, l->answer, sizeof l->answer, LK_COAP_ACK, code, m->mid, m->token, m->token_len);
	bool good = code >> 5 == 2, full = good && s->resource;
	if (full)
		lk_coap_option_uint(&o, LK_COAP_CONTENT_FORMAT, r.core ? LK_FORMAT_LINKS : LK_FORMAT_CBOR);
	bool issue = good || code == LK_COAP_UNAUTHORIZED;
	if (issue && l->port->random(l->port->ctx, random, sizeof random) == 0) {
		lk_echoes_issue(&l->issued, lk_link_now(l), random, echo);
		lk_coap_option(&o, LK_COAP_ECHO, echo, sizeof echo);
	}
	uint8_t *b = lk_coap_payload(&o, &cap);
	if (!good)
		len = write_refusal(&why, b, cap);
	else if (full && r.core)
		len = s->resource->write_links(s->actuator, b, cap);
	else if (full)
		len = s->resource->write_content(l, s->actuator, m->code == LK_COAP_GET, &receipt, b, cap);
	return lk_coap_end(&o, len);
}
