#include "inside.h"

#include <string.h>

#include "err.h"

enum { MOST_STALE = 2 }; /* repeats after 4.01 for one intent */

bool lk_node_verdict(struct lk_node *n, int *verdict)
{
	bool decided = n->decided;

	n->decided = false;
	*verdict = n->verdict;
	return decided;
}

void lk_intent_end(struct lk_node *n, int verdict, const char *text, uint32_t number)
{
	n->intent.active = false;
	lk_wipe(n->intent.uid, sizeof n->intent.uid);
	n->decided = true;
	n->verdict = verdict;
	if (n->purpose == LK_FOR_INTENT)
		lk_exchange_forget(&n->out);
	lk_node_tell(n, text, number);
}

void lk_intent_send(struct lk_node *n)
{
	struct lk_intent *i = &n->intent;
	struct lk_coap_out o;
	char path[4 + sizeof n->settings->target] = "scan";
	uint32_t now = lk_node_millis(n);
	int32_t age;
	size_t cap;

	if (i->uid_len == 0) {
		memcpy(path, "act/", 4);
		memcpy(path + 4, n->settings->target, sizeof n->settings->target);
	}
	lk_node_tell(n, "asking", (uint32_t)i->n);
	if (!i->sent)
		i->sent_at = now;
	i->sent = true;
	lk_exchange_begin(&n->out, &o, LK_COAP_POST, path);
	lk_coap_option_uint(&o, LK_COAP_CONTENT_FORMAT, LK_FORMAT_CBOR);
	lk_coap_option_uint(&o, LK_COAP_ACCEPT, LK_FORMAT_CBOR);
	int echo_len = lk_held_age(&n->held, i->at, now, &age);
	if (echo_len > 0)
		lk_coap_option(&o, LK_COAP_ECHO, n->held.echo, (size_t)echo_len);
	uint8_t *b = lk_coap_payload(&o, &cap);
	int len;
	if (i->uid_len > 0) {
		struct lk_scan scan = {.n = i->n, .uid_len = i->uid_len, .age = age};
		memcpy(scan.uid, i->uid, sizeof scan.uid);
		len = lk_scan_encode(&scan, b, cap);
	} else {
		struct lk_act act = {.n = i->n, .action = i->action, .age = age};
		len = lk_act_encode(&act, b, cap);
	}
	lk_node_ask(n, &o, len, LK_FOR_INTENT);
	if (len < 0)
		lk_intent_end(n, len, "no verdict, cannot be sent: error", (uint32_t)-len);
}

static bool intend(struct lk_node *n, uint32_t at)
{
	struct lk_intent *i = &n->intent;

	if (i->active) {
		lk_node_tell(n, "the one before has no verdict yet", 0);
		return false;
	}
	memset(i, 0, sizeof *i);
	int err = lk_counter_next(n->counter, n->port, &i->n);
	if (err < 0) {
		lk_node_tell(n, "counter cannot be kept, error", (uint32_t)-err);
		return false;
	}
	i->active = true;
	i->at = at;
	if (n->state == LK_NODE_WAITING)
		n->at = lk_node_millis(n); /* the back-off is for nodes that nobody waits at */
	return true;
}

bool lk_node_scan(struct lk_node *n, const uint8_t *uid, size_t len, uint32_t at)
{
	if (len > sizeof n->intent.uid || !intend(n, at))
		return false;
	memcpy(n->intent.uid, uid, len);
	n->intent.uid_len = (uint8_t)len;
	return true;
}

bool lk_node_press(struct lk_node *n, uint8_t action, uint32_t at)
{
	if (!intend(n, at))
		return false;
	n->intent.action = action;
	return true;
}

void lk_intent_judged(struct lk_node *n, const struct lk_coap *m)
{
	struct lk_intent *i = &n->intent;
	struct lk_verdict v;
	static const char *const texts[] = {"verdict denied", "verdict granted", "verdict retry"};

	if (n->dtls->read_at - i->at >= LK_SCAN_WINDOW)
		return; /* too late to be shown, or asked again: lk_node_step ends it */
	if (m->code == LK_COAP_UNAUTHORIZED) {
		i->stale++;
		lk_node_tell(n, "not fresh, asked again", i->stale);
		if (i->stale > MOST_STALE)
			lk_intent_end(n, LK_ESTALE, "no verdict, never fresh", i->stale);
		return; /* lk_node_step sends it again */
	}
	if (m->code != LK_COAP_CHANGED) {
		lk_intent_end(n, LK_ENONE, "no verdict, code", m->code);
		return;
	}
	if (lk_verdict_parse(&v, m->payload, m->payload_len) < 0) {
		lk_intent_end(n, LK_EMALFORMED, "no verdict, malformed", 0);
		return;
	}
	if (v.last <= i->n) {
		lk_intent_end(n, v.verdict, texts[v.verdict], (uint32_t)v.last);
		return;
	}
	/* We were behind: flash erased, board swapped. */
	lk_node_tell(n, "counter was behind, now after", (uint32_t)v.last);
	(void)lk_counter_reached(n->counter, n->port, v.last); /* if it cannot be kept, next says so */
	int err = lk_counter_next(n->counter, n->port, &i->n);
	if (err < 0)
		lk_intent_end(n, err, "no verdict, counter cannot be kept", 0);
}
