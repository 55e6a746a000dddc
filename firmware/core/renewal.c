#include "renewal.h"

#include "err.h"

enum {
	PING_LIMIT = 1000, /* ms for its answer */
	PING_AGAIN = 300,
	MOST_PINGS = 3,
};

/* *due stays 0 when the gateway has not answered in time. */
static int ping(struct lk_renewal *r, struct lk_link *l, uint32_t now, uint32_t *due)
{
	uint32_t gone = now - r->pinged;
	int err = 0;

	if (gone >= PING_LIMIT)
		return 0;
	if (r->pings < MOST_PINGS && gone >= r->pings * PING_AGAIN) {
		r->pings++;
		err = lk_link_send_empty(l, LK_COAP_CON, r->ping);
	}
	bool more = r->pings < MOST_PINGS && r->pings * PING_AGAIN > gone;
	*due = more ? r->pings * PING_AGAIN - gone : PING_LIMIT - gone;
	return err;
}

/* The session stays as it is. Returns the ms until there is more to do. */
static uint32_t give_up(struct lk_renewal *r, struct lk_link *l, int err)
{
	lk_link_log(l, "no new session, error", (uint32_t)-err);
	lk_dtls_close(l->spare);
	r->state = LK_RENEWAL_NONE;
	return UINT32_MAX;
}

/* Begins a handshake beside the session. */
static uint32_t begin_handshake(struct lk_renewal *r, struct lk_link *l)
{
	struct lk_dtls *other = l->spare;

	int err = lk_dtls_open(other, l->port, l->settings->identity, l->settings->secret);
	if (err < 0)
		return give_up(r, l, err);
	lk_link_log(l, "not answered, connecting beside", l->sessions + 1);
	lk_dtls_share(other, l->dtls);
	r->state = LK_RENEWAL_HANDSHAKE;
	return 0;
}

static int continue_handshake(struct lk_renewal *r, struct lk_link *l, uint32_t *due)
{
	struct lk_dtls *other = l->spare;
	int err = lk_dtls_handshake(other);

	if (err == LK_EAGAIN)
		*due = l->dtls->held_n > 0 ? 0 : lk_dtls_due(other);
	else if (err == 0)
		return LK_RENEWED;
	else
		*due = give_up(r, l, err);
	return 0;
}

int lk_renewal_step(struct lk_renewal *r, struct lk_link *l, uint32_t now, uint32_t *due)
{
	switch (r->state) {
	case LK_RENEWAL_HANDSHAKE:
		return continue_handshake(r, l, due);
	case LK_RENEWAL_NONE:
		*due = UINT32_MAX;
		if (!l->dtls->hinted)
			return 0;
		*due = LK_HINT_PAUSE - (now - r->pinged); /* it is followed then */
		if (now - r->pinged < LK_HINT_PAUSE)
			return 0;
		r->state = LK_RENEWAL_PING;
		r->pinged = now;
		r->pings = 0;
		/* differs from the message ID of the request under way */
		r->ping = (uint16_t)(l->out.mid + 1 + lk_link_jitter(l, UINT16_MAX));
		lk_link_log(l, "hint, asking the gateway", l->sessions);
		break;
	default:
		break;
	}
	int err = ping(r, l, now, due);
	if (*due == 0)
		*due = begin_handshake(r, l);
	return err;
}

bool lk_renewal_take_answer(struct lk_renewal *r, struct lk_link *l, const struct lk_coap *m)
{
	if (r->state != LK_RENEWAL_PING || m->type != LK_COAP_RST || m->mid != r->ping)
		return false;
	r->state = LK_RENEWAL_NONE;
	l->dtls->hinted = false;
	l->proven = true;
	return true;
}
