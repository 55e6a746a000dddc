#include "serve.h"

#include <string.h>

/* What a request of the gateway asks for. */
struct request {
	bool act, core;
	uint16_t bad_option; /* the first that is critical and not known, or 0 */
	uint32_t format, accept; /* UINT32_MAX: not said */
	const uint8_t *echo;
	size_t echo_len;
};

static bool is(const struct lk_coap_option *o, const char *text)
{
	return o->len == strlen(text) && memcmp(o->value, text, o->len) == 0;
}

static void read_request(const struct lk_coap *m, struct request *r)
{
	struct lk_coap_option o = {0};
	uint32_t segments = 0;
	bool well_known = false;

	*r = (struct request){.format = UINT32_MAX, .accept = UINT32_MAX};
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

/* What a refusal says (§5.5.2): the option or member that was wrong, and the number of one that has no name here. */
struct why {
	const char *text;
	uint16_t number; /* 0: none */
};

static int write_why(const struct why *w, uint8_t *b, size_t cap)
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

/* Says why the bytes are no command, or none for this actuator. */
static void explain_bad_command(const struct lk_coap *m, bool parsed, struct why *why)
{
	why->text = parsed ? "action" : "key";
	why->number = parsed ? 0 : lk_command_fault(m->payload, m->payload_len);
	if (!parsed && why->number == 0)
		why->text = "payload";
}

/* Obeys a command and fills in its receipt, or says why not. Returns the code. */
static uint8_t obey_command(struct lk_link *l, struct lk_actuator *a, const struct lk_coap *m,
	const struct request *r, struct lk_receipt *receipt, struct why *why)
{
	struct lk_command c;

	if (r->format != LK_FORMAT_CBOR) {
		why->text = "Content-Format";
		return LK_COAP_UNSUPPORTED_FORMAT;
	}
	bool parsed = lk_command_parse(&c, m->payload, m->payload_len) == 0;
	if (!parsed || !lk_actuator_fits(a, c.action)) {
		lk_actuator_lost(a); /* fail shut */
		explain_bad_command(m, parsed, why);
		return LK_COAP_BAD_REQUEST;
	}
	/* A command that was obeyed before gets its receipt, however late it comes: it moves nothing, and
	 * 4.01 would say that nothing was done. */
	enum lk_freshness fresh = LK_FRESH;
	if (c.id != a->last)
		fresh = lk_echoes_check(&l->issued, r->echo, r->echo_len, c.age, LK_COMMAND_WINDOW, l->dtls->read_at);
	switch (fresh) {
	case LK_FRESH:
		break;
	case LK_BAD_AGE:
		why->text = "age";
		return LK_COAP_BAD_REQUEST;
	default:
		why->text = "Echo";
		lk_link_log(l, "command not fresh", (uint32_t)c.id);
		return LK_COAP_UNAUTHORIZED;
	}
	lk_actuator_obey(a, &c, lk_link_now(l), receipt);
	lk_link_log(l, receipt->result == LK_DONE ? "command done" : "command refused", (uint32_t)c.id);
	return LK_COAP_CHANGED;
}

/* Does what a request asks for, and returns the code of its answer. */
static uint8_t handle(struct lk_link *l, struct lk_actuator *a, const struct lk_coap *m,
	const struct request *r, struct lk_receipt *receipt, struct why *why)
{
	bool known = r->core || (r->act && a);

	if (r->bad_option != 0) {
		*why = (struct why){"option", r->bad_option};
		return LK_COAP_BAD_OPTION;
	}
	if (!known)
		return LK_COAP_NOT_FOUND;
	if (r->accept != UINT32_MAX && r->accept != (r->core ? LK_FORMAT_LINKS : LK_FORMAT_CBOR)) {
		why->text = "Accept";
		return LK_COAP_NOT_ACCEPTABLE;
	}
	if (m->code == LK_COAP_GET)
		return LK_COAP_CONTENT;
	if (r->act && m->code == LK_COAP_POST)
		return obey_command(l, a, m, r, receipt, why);
	why->text = "method";
	return LK_COAP_NOT_ALLOWED;
}

/* Writes the payload of a good answer: the links, the state or the receipt. Returns its length. */
static int write_content(const struct lk_link *l, const struct lk_actuator *a, const struct lk_coap *m,
	const struct request *r, struct lk_receipt *receipt, uint8_t *b, size_t cap)
{
	if (r->core)
		return lk_actuator_links(a, b, cap);
	if (m->code == LK_COAP_GET) {
		lk_actuator_state(a, lk_link_now(l), &receipt->state);
		return lk_state_encode(&receipt->state, b, cap);
	}
	return lk_receipt_encode(receipt, b, cap);
}

/* A request that comes twice is served twice rather than answered from memory (RFC 7252 §4.5 allows it
 * where nothing changes by it): a state is read, and a command with a known id moves nothing. */
int lk_serve_request(struct lk_link *l, struct lk_actuator *a, const struct lk_coap *m)
{
	struct request r;
	struct lk_receipt receipt = {0};
	struct lk_coap_out o;
	struct why why = {"Uri-Path", 0};
	uint8_t random[8], echo[8];
	size_t cap;
	int len = 0;

	read_request(m, &r);
	uint8_t code = handle(l, a, m, &r, &receipt, &why);

	lk_coap_begin(&o, l->answer, sizeof l->answer, LK_COAP_ACK, code, m->mid, m->token, m->token_len);
	bool good = code >> 5 == 2, full = good && a;
	if (full)
		lk_coap_option_uint(&o, LK_COAP_CONTENT_FORMAT, r.core ? LK_FORMAT_LINKS : LK_FORMAT_CBOR);
	bool issue = good || code == LK_COAP_UNAUTHORIZED;
	if (issue && l->port->random(l->port->ctx, random, sizeof random) == 0) {
		lk_echoes_issue(&l->issued, lk_link_now(l), random, echo);
		lk_coap_option(&o, LK_COAP_ECHO, echo, sizeof echo);
	}
	uint8_t *b = lk_coap_payload(&o, &cap);
	if (!good)
		len = write_why(&why, b, cap);
	else if (full)
		len = write_content(l, a, m, &r, &receipt, b, cap);
	return lk_coap_end(&o, len);
}
