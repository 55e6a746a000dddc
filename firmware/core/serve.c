#include "inside.h"

#include <string.h>

/* What a request of the gateway asks for. */
struct request {
	bool act, core;
	uint16_t bad_option; /* the first that is critical and not known, or 0 */
	uint32_t format, accept; /* UINT32_MAX: not said */
	const uint8_t *echo;
	size_t echo_len;
};

static bool is(const struct lk_coap_option *o, const char *text) { return o->len == strlen(text) && memcmp(o->value, text, o->len) == 0; }

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

/* Obeys a command and fills in its receipt, or says why not. Returns the code. */
static uint8_t command(struct lk_node *n, const struct lk_coap *m, const struct request *r, struct lk_receipt *receipt, struct why *why)
{
	struct lk_command c;

	if (r->format != LK_FORMAT_CBOR) {
		why->text = "Content-Format";
		return LK_COAP_UNSUPPORTED_FORMAT;
	}
	bool parsed = lk_command_parse(&c, m->payload, m->payload_len) == 0;
	if (!parsed || !lk_actuator_fits(n->actuator, c.action)) {
		lk_actuator_lost(n->actuator); /* fail shut */
		why->text = parsed ? "action" : "key";
		why->number = parsed ? 0 : lk_command_fault(m->payload, m->payload_len);
		if (!parsed && why->number == 0)
			why->text = "payload";
		return LK_COAP_BAD_REQUEST;
	}
	/* A repeat of what was obeyed gets the receipt, however late it is: it moves nothing, and 4.01 would say that nothing was done. */
	bool again = c.id == n->actuator->last;
	switch (again ? LK_FRESH : lk_echoes_check(&n->issued, r->echo, r->echo_len, c.age, LK_COMMAND_WINDOW, n->dtls->read_at)) {
	case LK_FRESH:
		break;
	case LK_BAD_AGE:
		why->text = "age";
		return LK_COAP_BAD_REQUEST;
	default:
		why->text = "Echo";
		lk_node_tell(n, "command not fresh", (uint32_t)c.id);
		return LK_COAP_UNAUTHORIZED;
	}
	lk_actuator_obey(n->actuator, &c, lk_node_millis(n), receipt);
	lk_node_tell(n, receipt->result == LK_DONE ? "command done" : "command refused", (uint32_t)c.id);
	return LK_COAP_CHANGED;
}

/* Serves one confirmable request. A repeat of it is served again rather than answered from memory (RFC 7252 §4.5 allows it where nothing
 * changes by it): a state is read, and a command with a known id moves nothing. */
int lk_serve(struct lk_node *n, const struct lk_coap *m)
{
	struct request r;
	struct lk_receipt receipt = {0};
	struct lk_coap_out o;
	struct why why = {"Uri-Path", 0};
	uint8_t code = LK_COAP_NOT_FOUND, random[8], echo[8];
	size_t cap;
	int len = 0;

	read_request(m, &r);
	uint32_t format = r.core ? LK_FORMAT_LINKS : LK_FORMAT_CBOR;
	bool known = r.core || (r.act && n->actuator);
	bool state = r.act && m->code == LK_COAP_GET;
	if (r.bad_option != 0) {
		code = LK_COAP_BAD_OPTION;
		why = (struct why){"option", r.bad_option};
	} else if (known && r.accept != UINT32_MAX && r.accept != format) {
		code = LK_COAP_NOT_ACCEPTABLE;
		why.text = "Accept";
	} else if (known && m->code == LK_COAP_GET) {
		code = LK_COAP_CONTENT;
	} else if (known && r.act && m->code == LK_COAP_POST) {
		code = command(n, m, &r, &receipt, &why);
	} else if (known) {
		code = LK_COAP_NOT_ALLOWED;
		why.text = "method";
	}

	lk_coap_begin(&o, n->answer, sizeof n->answer, LK_COAP_ACK, code, m->mid, m->token, m->token_len);
	bool good = code >> 5 == 2, full = good && n->actuator;
	if (full)
		lk_coap_option_uint(&o, LK_COAP_CONTENT_FORMAT, format);
	if ((good || code == LK_COAP_UNAUTHORIZED) && n->port->random(n->port->ctx, random, sizeof random) == 0) {
		lk_echoes_issue(&n->issued, lk_node_millis(n), random, echo);
		lk_coap_option(&o, LK_COAP_ECHO, echo, sizeof echo);
	}
	uint8_t *b = lk_coap_payload(&o, &cap);
	if (!good) {
		len = write_why(&why, b, cap);
	} else if (full && r.core) {
		len = lk_actuator_links(n->actuator, b, cap);
	} else if (full && state) {
		lk_actuator_state(n->actuator, lk_node_millis(n), &receipt.state);
		len = lk_state_encode(&receipt.state, b, cap);
	} else if (full) {
		len = lk_receipt_encode(&receipt, b, cap);
	}
	return lk_coap_end(&o, len);
}
