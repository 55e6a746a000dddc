#include "act.h"

/* Says why the bytes are not a command for this actuator. */
static void explain_bad_command(const struct lk_coap *m, bool parsed, struct lk_refusal *why)
{
	why->text = parsed ? "action" : "key";
	why->number = parsed ? 0 : lk_command_find_fault(m->payload, m->payload_len);
	if (!parsed && why->number == 0)
		why->text = "payload";
}

/* Obeys a command and fills in its receipt, or says why not. Returns the code. */
static uint8_t obey_command(struct lk_link *l, struct lk_actuator *a, const struct lk_coap *m,
	const struct lk_request *r, struct lk_receipt *receipt, struct lk_refusal *why)
{
	struct lk_command c;

	if (r->format != LK_FORMAT_CBOR) {
		why->text = "Content-Format";
		return LK_COAP_UNSUPPORTED_FORMAT;
	}
	bool parsed = lk_command_parse(&c, m->payload, m->payload_len) == 0;
	if (!parsed || !lk_actuator_fits(a, c.action)) {
		lk_actuator_lose_session(a); /* fail shut */
		explain_bad_command(m, parsed, why);
		return LK_COAP_BAD_REQUEST;
	}
	/* A repeated command gets its receipt, however late it comes: it moves nothing, and a 4.01
	 * would mean that nothing was done. */
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

static int write_content(const struct lk_link *l, const struct lk_actuator *a, bool get,
	struct lk_receipt *receipt, uint8_t *b, size_t cap)
{
	if (!get)
		return lk_receipt_encode(receipt, b, cap);
	lk_actuator_read_state(a, lk_link_now(l), &receipt->state);
	return lk_state_encode(&receipt->state, b, cap);
}

const struct lk_resource lk_act = {
	.write_links = lk_actuator_write_links,
	.obey = obey_command,
	.write_content = write_content,
	.begin_session = lk_actuator_begin_session,
	.lose_session = lk_actuator_lose_session,
};
