#include "node.h"

#include <string.h>

#include "err.h"
#include "serve.h"

enum {
	LOOK_AGAIN = 50,    /* ms; whether there is a network, or a name is known */
	FIRST_PAUSE = 1000, /* before a reconnect; it doubles */
	LONGEST_PAUSE = 60000,
	GOOD_SESSION = 60000, /* after one that lasted so long the pause begins anew */
	REQUEST_LIMIT = 6000, /* for a registration or a report: on a LAN all its retransmissions take so long */
	SILENCE = LK_SCAN_WINDOW / 2, /* of the gateway after a scan: then make a new session */
	SILENCE_RESUMED = 1200, /* likewise after a wake: there must be time for a handshake in the window */
	MOST_MESSAGES = 8,      /* in one step */
};

static bool passed(uint32_t now, uint32_t t) { return (int32_t)(now - t) >= 0; }

static uint32_t until(uint32_t now, uint32_t t) { return passed(now, t) ? 0 : t - now; }

static uint32_t sooner(uint32_t a, uint32_t b) { return a < b ? a : b; }

void lk_node_init(struct lk_node *n, const struct lk_port *port, const struct lk_settings *s,
	struct lk_counter *c, const struct lk_served *served)
{
	memset(n, 0, sizeof *n);
	lk_link_init(&n->link, port, s, n->pair);
	n->intent.counter = c;
	if (served)
		n->served = *served;
	lk_finder_init(&n->finder, &n->link);
	n->registration.lifetime = LK_LIFETIME;
	n->pause = FIRST_PAUSE;
	uint32_t now = n->report.second = lk_link_now(&n->link);
	n->renewal.pinged = now - LK_HINT_PAUSE;
	n->at = now + lk_link_jitter(&n->link, FIRST_PAUSE); /* a hundred nodes get their power back at once */
	lk_exchange_reset(&n->link.out, lk_link_jitter(&n->link, UINT16_MAX));
}

void lk_node_resume(struct lk_node *n, uint8_t *state, uint16_t len)
{
	n->saved = state;
	n->saved_len = len;
	n->at = lk_link_now(&n->link);
}

bool lk_node_is_online(const struct lk_node *n)
{
	return n->state == LK_NODE_UP && n->registration.location[0] != 0;
}

bool lk_node_is_idle(const struct lk_node *n)
{
	bool asks = n->intent.active || n->link.out.active || n->report.wanted != 0;
	return !asks && n->renewal.state == LK_RENEWAL_NONE;
}

/* ---- what people want ---- */

/* Somebody waits for the verdict, so skip the back-off. */
static void hurry(struct lk_node *n)
{
	if (n->state == LK_NODE_WAITING)
		n->at = lk_link_now(&n->link);
}

bool lk_node_scan(struct lk_node *n, const uint8_t *uid, size_t len, uint32_t at)
{
	if (!lk_intent_scan(&n->intent, &n->link, uid, len, at))
		return false;
	hurry(n);
	return true;
}

bool lk_node_press(struct lk_node *n, uint8_t action, uint32_t at)
{
	if (!lk_intent_press(&n->intent, &n->link, action, at))
		return false;
	hurry(n);
	return true;
}

void lk_node_report(struct lk_node *n, uint8_t what)
{
	lk_report_add(&n->report, what, lk_link_now(&n->link));
}

/* ---- the association ---- */

/* Forgets an association that is over, and releases a lock. */
static void leave_session(struct lk_node *n)
{
	n->renewal.state = LK_RENEWAL_NONE;
	lk_link_forget_session(&n->link);
	lk_report_requeue(&n->report);
	n->registration.location[0] = 0;
	n->intent.sent = false;
	if (n->served.resource)
		n->served.resource->lose_session(n->served.actuator);
}

/* Ends the association. The next one comes after pause, at least, or continues its handshake. */
static void end_session(struct lk_node *n, uint32_t pause)
{
	bool begun = n->renewal.state == LK_RENEWAL_HANDSHAKE;

	lk_dtls_close(n->link.dtls);
	leave_session(n);
	n->state = begun ? LK_NODE_HANDSHAKE : LK_NODE_WAITING;
	n->at = lk_link_now(&n->link) + (begun ? 0 : pause);
	if (begun)
		lk_link_swap(&n->link);
}

/* Ends an association that failed, or one that could not be made: then another address may be left
 * to try, without a pause. */
static void lose_session(struct lk_node *n, int err)
{
	if (n->state != LK_NODE_UP && lk_finder_refuse(&n->finder)) {
		lk_link_log(&n->link, "not the gateway's address, error", (uint32_t)-err);
		end_session(n, 0);
		return;
	}
	uint32_t pause = n->pause / 2 + lk_link_jitter(&n->link, n->pause);

	if (n->state == LK_NODE_UP && lk_link_now(&n->link) - n->at > GOOD_SESSION)
		n->pause = FIRST_PAUSE;
	else
		n->pause = sooner(2 * n->pause, LONGEST_PAUSE);
	lk_link_log(&n->link, "session lost, error", (uint32_t)-err);
	end_session(n, pause);
}

/* Handles the result of a function of the link: after an error the association is over. */
static void check(struct lk_node *n, int err)
{
	if (err < 0)
		lose_session(n, err);
}

static void go_up(struct lk_node *n, const char *text)
{
	n->link.sessions++;
	lk_link_log(&n->link, text, n->link.sessions);
	n->state = LK_NODE_UP;
	n->at = n->link.hold = lk_link_now(&n->link);
	lk_registration_begin_session(&n->registration, n->at);
}

/* Begins a session whose handshake is done. */
static void begin_session(struct lk_node *n)
{
	go_up(n, "session up");
	n->link.proven = true;
	lk_finder_keep(&n->finder, &n->link);
	lk_exchange_reset(&n->link.out, lk_link_jitter(&n->link, UINT16_MAX));
	if (n->served.resource)
		n->served.resource->begin_session(n->served.actuator);
}

/* Resumes the association from before the sleep. False if there is none or it cannot be resumed. */
static bool resume_session(struct lk_node *n)
{
	if (n->saved_len == 0)
		return false;
	int err = lk_dtls_resume(n->link.dtls, n->link.port, n->saved, n->saved_len);
	lk_wipe(n->saved, n->saved_len);
	n->saved_len = 0;
	if (err < 0)
		return false;
	go_up(n, "session resumed");
	n->link.proven = false;
	n->finder.phase = LK_FINDER_LAST; /* if it is not answered, a handshake at this address is next */
	return true;
}

/* Opens the way to the gateway and begins a handshake there. Returns ms until it is to be called
 * again. */
static uint32_t connect(struct lk_node *n)
{
	const struct lk_settings *s = n->link.settings;
	const struct lk_port *p = n->link.port;
	const char *host;
	uint32_t due = 0;
	int err = lk_finder_step(&n->finder, &n->link, &host, &due);

	n->at = lk_link_now(&n->link); /* not a moment of weeks ago, which would look ahead */
	if (err == LK_EAGAIN)
		return due;
	if (err == 0)
		err = p->udp_open(p->own, host, s->port);
	if (err == LK_EAGAIN) {
		n->at += LOOK_AGAIN;
		return 0;
	}
	if (err < 0) {
		lose_session(n, err);
		return 0;
	}
	lk_link_log(&n->link, "connecting", n->link.sessions + 1);
	if (resume_session(n))
		return 0;
	n->registration.location[0] = 0;
	err = lk_dtls_open(n->link.dtls, p, s->identity, s->secret);
	n->state = LK_NODE_HANDSHAKE;
	check(n, err);
	return 0;
}

static uint32_t handshake(struct lk_node *n)
{
	int err = lk_dtls_handshake(n->link.dtls);

	if (err == LK_EAGAIN)
		return sooner(lk_dtls_due(n->link.dtls), lk_finder_left(&n->finder, lk_link_now(&n->link) - n->at));
	if (err < 0)
		lose_session(n, err);
	else
		begin_session(n);
	return 0;
}

/* Follows a hint; returns ms until there is more to do. */
static uint32_t follow_hint(struct lk_node *n, uint32_t now)
{
	uint32_t due = 0;
	int result = lk_renewal_step(&n->renewal, &n->link, now, &due);

	if (result == LK_RENEWED) {
		lk_dtls_forget(n->link.dtls);
		leave_session(n);
		lk_link_swap(&n->link);
		begin_session(n);
	}
	check(n, result);
	return due;
}

/* ---- messages ---- */

static void take_answer(struct lk_node *n, const struct lk_coap *m)
{
	enum lk_purpose purpose = n->link.purpose;

	lk_link_take_echo(&n->link, m);
	n->link.proven = true;
	n->link.purpose = LK_FOR_NOTHING;
	switch (purpose) {
	case LK_FOR_REGISTRATION:
		check(n, lk_registration_take_answer(&n->registration, &n->link, m));
		break;
	case LK_FOR_INTENT:
		if (n->intent.active)
			lk_intent_take_answer(&n->intent, &n->link, m);
		break;
	case LK_FOR_REPORT:
		lk_report_take_answer(&n->report, &n->link, m->code);
		break;
	default:
		break;
	}
}

static void send_empty(struct lk_node *n, uint8_t type, uint16_t mid)
{
	check(n, lk_link_send_empty(&n->link, type, mid));
}

static void take_message(struct lk_node *n, size_t len)
{
	struct lk_link *l = &n->link;
	struct lk_coap m;
	int err = lk_coap_parse(&m, l->in, len);
	bool con = err != LK_ENONE && m.type == LK_COAP_CON;

	if (err < 0) {
		if (con)
			send_empty(n, LK_COAP_RST, m.mid);
		return;
	}
	if (lk_renewal_take_answer(&n->renewal, l, &m))
		return;
	switch (lk_exchange_take(&l->out, &m, l->dtls->read_at)) {
	case LK_EXCHANGE_ANSWER:
		if (con)
			send_empty(n, LK_COAP_ACK, m.mid);
		take_answer(n, &m);
		break;
	case LK_EXCHANGE_LATE:
		if (con)
			send_empty(n, LK_COAP_ACK, m.mid);
		break;
	case LK_EXCHANGE_RESET:
		lose_session(n, LK_ENONE); /* the gateway rejects our requests */
		break;
	case LK_EXCHANGE_ACKED:
		l->proven = true;
		break;
	default:
		if (con && m.code != LK_COAP_EMPTY && m.code >> 5 == 0)
			check(n, lk_link_send(l, l->answer, lk_serve_request(l, &n->served, &m)));
		else if (con)
			send_empty(n, LK_COAP_RST, m.mid);
	}
}

static void receive(struct lk_node *n)
{
	for (int i = 0; i < MOST_MESSAGES && n->state == LK_NODE_UP; i++) {
		int len = lk_dtls_recv(n->link.dtls, n->link.in, sizeof n->link.in);
		if (len == LK_EAGAIN)
			return;
		if (len == LK_ECLOSED)
			lose_session(n, len);
		else if (len > 0)
			take_message(n, (size_t)len);
	}
}

/* ---- a step ---- */

/* Ends what took too long. */
static void check_limits(struct lk_node *n, uint32_t now)
{
	const struct lk_intent *i = &n->intent;
	const struct lk_link *l = &n->link;
	bool asked = i->active && i->sent && l->out.active && l->purpose == LK_FOR_INTENT;
	uint32_t silence = asked ? now - i->sent_at : 0;

	if (lk_intent_expire(&n->intent, &n->link, now)) { /* a door that opens later opens for somebody else */
		if (silence >= SILENCE)
			lose_session(n, LK_EAGAIN);
	} else if (!l->proven && silence >= SILENCE_RESUMED) {
		lk_link_log(l, "resumed session is not answered", silence);
		end_session(n, 0);
	} else if (n->state == LK_NODE_UP && l->out.active && l->purpose != LK_FOR_INTENT &&
		   now - l->out.sent >= REQUEST_LIMIT) {
		lose_session(n, LK_EAGAIN);
	} else if (n->state == LK_NODE_HANDSHAKE && lk_finder_left(&n->finder, now - n->at) == 0) {
		lose_session(n, LK_EAGAIN);
	}
}

/* Sends the next request to the gateway; an intent goes first. */
static void send_next(struct lk_node *n, uint32_t now)
{
	struct lk_link *l = &n->link;

	if (n->intent.active && (!l->out.active || l->purpose != LK_FOR_INTENT)) {
		if (l->out.active && l->purpose == LK_FOR_REPORT)
			lk_report_requeue(&n->report);
		check(n, lk_intent_send(&n->intent, l));
	} else if (l->out.active) {
		if (lk_exchange_must_retransmit(&l->out, now))
			check(n, lk_link_send(l, l->out.b, l->out.n));
	} else if (!passed(now, l->hold)) {
		return;
	} else if (passed(now, n->registration.renew)) {
		check(n, lk_registration_send(&n->registration, l, &n->served));
	} else if (n->report.wanted != 0) {
		check(n, lk_report_send(&n->report, l, n->served.actuator));
	}
}

/* Does what is due in a session. */
static uint32_t step_up(struct lk_node *n, uint32_t now)
{
	const struct lk_link *l = &n->link;
	uint32_t due;

	send_next(n, now);
	if (l->out.active) {
		bool intent = l->purpose == LK_FOR_INTENT;
		due = intent ? SILENCE_RESUMED : until(now, l->out.sent + REQUEST_LIMIT);
		due = sooner(due, lk_exchange_due(&l->out, now));
	} else {
		uint32_t renew = n->registration.renew;
		due = until(now, n->report.wanted != 0 || passed(now, renew) ? l->hold : renew);
	}
	if (n->state == LK_NODE_UP)
		due = sooner(due, follow_hint(n, now));
	return n->state == LK_NODE_UP ? due : 0;
}

/* Connects when it is time, and there is a network. */
static uint32_t step_waiting(struct lk_node *n, uint32_t now)
{
	const struct lk_port *p = n->link.port;

	if (!passed(now, n->at))
		return until(now, n->at);
	if (!p->net_ready(p->ctx)) {
		n->at = now + LOOK_AGAIN; /* a moment of weeks ago would look ahead */
		return LOOK_AGAIN;
	}
	return connect(n);
}

uint32_t lk_node_step(struct lk_node *n)
{
	uint32_t now = lk_link_now(&n->link), due = UINT32_MAX;

	if (passed(now, n->link.hold))
		n->link.hold = now; /* not so far back that it would look ahead */
	lk_report_pass_time(&n->report, now);
	lk_echoes_expire(&n->link.issued, now);
	lk_held_expire(&n->link.held, now);
	if (n->state == LK_NODE_UP)
		receive(n);
	now = lk_link_now(&n->link);
	check_limits(n, now);
	switch (n->state) {
	case LK_NODE_WAITING:
		due = step_waiting(n, now);
		break;
	case LK_NODE_HANDSHAKE:
		due = handshake(n);
		break;
	case LK_NODE_UP:
		due = step_up(n, now);
		break;
	}
	if (n->intent.active)
		due = sooner(due, until(now, n->intent.at + LK_SCAN_WINDOW));
	return due;
}
