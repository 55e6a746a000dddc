#include "intent.h"

#include <string.h>

#include "err.h"

enum { MOST_STALE = 2 }; /* how often one intent is sent again after a 4.01 */

bool lk_intent_take_verdict(struct lk_intent *i, int *verdict)
{
	bool decided = i->decided;

	i->decided = false;
	*verdict = i->verdict;
	return decided;
}

/* verdict is enum lk_outcome or negative; text and number go to the log. */
static void end_intent(struct lk_intent *i, struct lk_link *l, int verdict, const char *text, uint32_t number)
{
	i->active = false;
	lk_wipe(i->uid, sizeof i->uid);
	i->decided = true;
	i->verdict = verdict;
	if (l->purpose == LK_FOR_INTENT)
		lk_exchange_forget(&l->out);
	lk_link_log(l, text, number);
}

bool lk_intent_expire(struct lk_intent *i, struct lk_link *l, uint32_t now)
{
	if (!i->active || now - i->at < LK_SCAN_WINDOW)
		return false;
	end_intent(i, l, LK_EAGAIN, "no verdict in time", (uint32_t)i->n);
	return true;
}

/* Writes the intent as it goes over the wire. Returns its length, or negative. */
static int encode(const struct lk_intent *i, int32_t age, uint8_t *b, size_t cap)
{
	if (i->uid_len > 0) {
		struct lk_scan scan = {.n = i->n, .uid_len = i->uid_len, .age = age};
		memcpy(scan.uid, i->uid, sizeof scan.uid);
		return lk_scan_encode(&scan, b, cap);
	}
	struct lk_act act = {.n = i->n, .action = i->action, .age = age};
	return lk_act_encode(&act, b, cap);
}

int lk_intent_send(struct lk_intent *i, struct lk_link *l)
{
	struct lk_coap_out o;
	char path[4 + sizeof l->settings->target] = "scan";
	uint32_t now = lk_link_now(l);
	size_t cap;

	if (i->uid_len == 0) {
		memcpy(path, "act/", 4);
		memcpy(path + 4, l->settings->target, sizeof l->settings->target);
	}
	lk_link_log(l, "asking", (uint32_t)i->n);
	if (!i->sent)
		i->sent_at = now;
	i->sent = true;
	lk_exchange_begin(&l->out, &o, LK_COAP_POST, path);
	lk_coap_option_uint(&o, LK_COAP_CONTENT_FORMAT, LK_FORMAT_CBOR);
	lk_coap_option_uint(&o, LK_COAP_ACCEPT, LK_FORMAT_CBOR);
	int32_t age = lk_link_add_echo(l, &o, i->at, now);
	uint8_t *b = lk_coap_payload(&o, &cap);
	int len = encode(i, age, b, cap);
	int err = lk_link_send_request(l, &o, len, LK_FOR_INTENT);
	if (len < 0)
		end_intent(i, l, len, "no verdict, cannot be sent: error", (uint32_t)-len);
	return err;
}

static bool begin_intent(struct lk_intent *i, struct lk_link *l, uint32_t at)
{
	if (i->active) {
		lk_link_log(l, "the one before has no verdict yet", 0);
		return false;
	}
	i->sent = false;
	i->uid_len = i->action = i->stale = 0;
	int err = lk_counter_take_next(i->counter, l->port, &i->n);
	if (err < 0) {
		lk_link_log(l, "counter cannot be kept, error", (uint32_t)-err);
		return false;
	}
	i->active = true;
	i->at = at;
	return true;
}

bool lk_intent_scan(struct lk_intent *i, struct lk_link *l, const uint8_t *uid, size_t len, uint32_t at)
{
	if (len > sizeof i->uid || !begin_intent(i, l, at))
		return false;
	memcpy(i->uid, uid, len);
	i->uid_len = (uint8_t)len;
	return true;
}

bool lk_intent_press(struct lk_intent *i, struct lk_link *l, uint8_t action, uint32_t at)
{
	if (!begin_intent(i, l, at))
		return false;
	i->action = action;
	return true;
}

void lk_intent_take_answer(struct lk_intent *i, struct lk_link *l, const struct lk_coap *m)
{
	struct lk_verdict v;
	static const char *const texts[] = {"verdict denied", "verdict granted", "verdict retry"};

	if (l->dtls->read_at - i->at >= LK_SCAN_WINDOW)
		return; /* too late to show or to ask again: lk_intent_expire ends it */
	if (m->code == LK_COAP_UNAUTHORIZED) {
		i->stale++;
		lk_link_log(l, "not fresh, asked again", i->stale);
		if (i->stale > MOST_STALE)
			end_intent(i, l, LK_ESTALE, "no verdict, never fresh", i->stale);
		return; /* it is still active, so the node sends it again */
	}
	if (m->code != LK_COAP_CHANGED) {
		end_intent(i, l, LK_ENONE, "no verdict, code", m->code);
		return;
	}
	if (lk_verdict_parse(&v, m->payload, m->payload_len) < 0) {
		end_intent(i, l, LK_EMALFORMED, "no verdict, malformed", 0);
		return;
	}
	if (v.last <= i->n) {
		end_intent(i, l, v.verdict, texts[v.verdict], (uint32_t)v.last);
		return;
	}
	/* Our counter is too low: flash was erased, or the board was replaced. */
	lk_link_log(l, "counter was behind, now after", (uint32_t)v.last);
	(void)lk_counter_catch_up(i->counter, l->port, v.last); /* if not saved, the next call fails */
	int err = lk_counter_take_next(i->counter, l->port, &i->n);
	if (err < 0)
		end_intent(i, l, err, "no verdict, counter cannot be kept", 0);
}
