#include "inside.h"

#include "err.h"

enum {
	PING_LIMIT = 1000, /* ms for its answer */
	PING_AGAIN = 300,
	MOST_PINGS = 3,
};

static uint32_t ping(struct lk_node *n, uint32_t now)
{
	uint32_t gone = now - n->pinged;

	if (gone >= PING_LIMIT)
		return 0;
	if (n->pings < MOST_PINGS && gone >= n->pings * PING_AGAIN) {
		n->pings++;
		lk_node_send_empty(n, LK_COAP_CON, n->ping);
	}
	return n->pings < MOST_PINGS && n->pings * PING_AGAIN > gone ? n->pings * PING_AGAIN - gone : PING_LIMIT - gone;
}

/* Begins a handshake beside the session. */
static uint32_t renew(struct lk_node *n)
{
	struct lk_dtls *other = lk_node_other(n);

	int err = lk_dtls_open(other, n->port, n->settings->identity, n->settings->secret);
	if (err < 0) {
		lk_node_tell(n, "no new session, error", (uint32_t)-err);
		lk_dtls_close(other);
		n->renewal = LK_RENEWAL_NONE;
		return UINT32_MAX;
	}
	lk_node_tell(n, "not answered, connecting beside", n->sessions + 1);
	lk_dtls_share(other, n->dtls);
	n->renewal = LK_RENEWAL_HANDSHAKE;
	return 0;
}

static uint32_t handshake(struct lk_node *n)
{
	struct lk_dtls *other = lk_node_other(n);
	int err = lk_dtls_handshake(other);

	if (err == LK_EAGAIN)
		return n->dtls->held_n > 0 ? 0 : lk_dtls_due(other);
	if (err == 0) {
		lk_node_take_over(n);
		return 0;
	}
	lk_node_tell(n, "no new session, error", (uint32_t)-err);
	lk_dtls_close(other);
	n->renewal = LK_RENEWAL_NONE;
	return UINT32_MAX;
}

uint32_t lk_renewal_step(struct lk_node *n, uint32_t now)
{
	uint32_t due;

	switch (n->renewal) {
	case LK_RENEWAL_HANDSHAKE:
		return handshake(n);
	case LK_RENEWAL_NONE:
		if (!n->dtls->hinted)
			return UINT32_MAX;
		if (now - n->pinged < LK_HINT_PAUSE)
			return LK_HINT_PAUSE - (now - n->pinged); /* it is followed then */
		n->renewal = LK_RENEWAL_PING;
		n->pinged = now;
		n->pings = 0;
		n->ping = (uint16_t)(n->out.mid + 1 + lk_node_jitter(n, UINT16_MAX)); /* any but that of the request under way */
		lk_node_tell(n, "hint, asking the gateway", n->sessions);
		break;
	default:
		break;
	}
	due = ping(n, now);
	if (due > 0 || n->renewal != LK_RENEWAL_PING)
		return due;
	return renew(n);
}

bool lk_renewal_answered(struct lk_node *n, const struct lk_coap *m)
{
	if (n->renewal != LK_RENEWAL_PING || m->type != LK_COAP_RST || m->mid != n->ping)
		return false;
	n->renewal = LK_RENEWAL_NONE;
	n->dtls->hinted = false;
	n->proven = true;
	return true;
}
