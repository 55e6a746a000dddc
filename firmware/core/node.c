#include "inside.h"

#include <string.h>

#include "err.h"

enum {
	LOOK_AGAIN = 50,     /* ms; whether there is a network, or a name is known */
	FIRST_PAUSE = 1000,  /* before a reconnect; it doubles */
	LONGEST_PAUSE = 60000,
	GOOD_SESSION = 60000, /* after one that lasted so long the pause begins anew */
	REQUEST_LIMIT = 6000,  /* for a registration or a report: its repeats on a LAN take so long */
	SILENCE = LK_SCAN_WINDOW / 2, /* of the gateway after a scan: open a new session rather than trust this one */
	SILENCE_RESUMED = 1200, /* likewise after a wake, when there must be time for a handshake within the window */
	EXIT_COUNTS = 10000, /* ms that a press of the exit button explains an open door */
	BUSY_PAUSE = 1000, /* after 4.29 or 5.03, times 1…2 */
	MOST_MESSAGES = 8, /* in one step */
};

static bool passed(uint32_t now, uint32_t t) { return (int32_t)(now - t) >= 0; }

static uint32_t until(uint32_t now, uint32_t t) { return passed(now, t) ? 0 : t - now; }

static uint32_t sooner(uint32_t a, uint32_t b) { return a < b ? a : b; }

uint32_t lk_node_millis(const struct lk_node *n) { return n->port->now(n->port->ctx); }

void lk_node_tell(const struct lk_node *n, const char *text, uint32_t number) { n->port->log(n->port->ctx, text, number); }

uint32_t lk_node_jitter(const struct lk_node *n, uint32_t limit)
{
	uint32_t r;
	uint8_t b[4];

	if (n->port->random(n->port->ctx, b, sizeof b) < 0)
		return 0;
	memcpy(&r, b, sizeof r);
	return r % limit;
}

void lk_node_init(struct lk_node *n, const struct lk_port *port, const struct lk_settings *s, struct lk_counter *c, struct lk_actuator *a)
{
	memset(n, 0, sizeof *n);
	n->port = port;
	n->settings = s;
	n->counter = c;
	n->actuator = a;
	n->lifetime = LK_LIFETIME;
	n->pause = FIRST_PAUSE;
	n->dtls = &n->links[0];
	n->second = lk_node_millis(n);
	n->pinged = n->second - LK_HINT_PAUSE;
	n->at = n->second + lk_node_jitter(n, FIRST_PAUSE); /* a hundred nodes get their power back at the same moment */
	lk_exchange_reset(&n->out, lk_node_jitter(n, UINT16_MAX));
}

void lk_node_resume(struct lk_node *n, uint8_t *state, uint16_t len)
{
	n->saved = state;
	n->saved_len = len;
	n->at = lk_node_millis(n);
}

bool lk_node_online(const struct lk_node *n) { return n->state == LK_NODE_UP && n->location[0] != 0; }

bool lk_node_idle(const struct lk_node *n) { return !n->intent.active && !n->out.active && n->wanted == 0 && n->renewal == LK_RENEWAL_NONE; }

/* What belongs to an association that is over. */
static void leave(struct lk_node *n)
{
	n->renewal = LK_RENEWAL_NONE;
	lk_exchange_forget(&n->out);
	lk_held_forget(&n->held);
	lk_echoes_reset(&n->issued);
	n->wanted |= n->sending;
	n->sending = 0;
	n->location[0] = 0;
	n->intent.sent = false;
	if (n->actuator)
		lk_actuator_lost(n->actuator);
}

/* The association is over, whoever ended it. The next one comes after pause, at least, or goes on with its handshake. */
static void lose(struct lk_node *n, uint32_t pause)
{
	bool begun = n->renewal == LK_RENEWAL_HANDSHAKE;

	lk_dtls_close(n->dtls);
	leave(n);
	n->state = begun ? LK_NODE_HANDSHAKE : LK_NODE_WAITING;
	n->at = lk_node_millis(n) + pause;
	if (begun)
		n->dtls = lk_node_other(n);
}

static void lost(struct lk_node *n, int err)
{
	uint32_t pause = n->pause / 2 + lk_node_jitter(n, n->pause);

	if (n->state == LK_NODE_UP && lk_node_millis(n) - n->at > GOOD_SESSION)
		n->pause = FIRST_PAUSE;
	else
		n->pause = sooner(2 * n->pause, LONGEST_PAUSE);
	lk_node_tell(n, "session lost, error", (uint32_t)-err);
	lose(n, pause);
}

static void connect(struct lk_node *n)
{
	const struct lk_settings *s = n->settings;
	int err = n->port->udp_open(n->port->ctx, s->host, s->port);

	if (err == LK_EAGAIN) {
		n->at = lk_node_millis(n) + LOOK_AGAIN;
		return;
	}
	if (err < 0) {
		lost(n, err);
		return;
	}
	lk_node_tell(n, "connecting", n->sessions + 1);
	if (n->saved_len > 0) {
		err = lk_dtls_resume(n->dtls, n->port, n->saved, n->saved_len);
		lk_wipe(n->saved, n->saved_len);
		n->saved_len = 0;
		if (err == 0) {
			n->state = LK_NODE_UP;
			n->proven = false;
			n->at = lk_node_millis(n);
			n->renew = n->hold = n->at;
			n->sessions++;
			lk_node_tell(n, "session resumed", n->sessions);
			return;
		}
	}
	n->location[0] = 0;
	err = lk_dtls_open(n->dtls, n->port, s->identity, s->secret);
	n->state = LK_NODE_HANDSHAKE;
	if (err < 0)
		lost(n, err);
}

/* The handshake is done. */
static void begin(struct lk_node *n)
{
	n->sessions++;
	lk_node_tell(n, "session up", n->sessions);
	n->state = LK_NODE_UP;
	n->proven = true;
	n->at = lk_node_millis(n);
	n->renew = n->hold = n->at;
	lk_exchange_reset(&n->out, lk_node_jitter(n, UINT16_MAX));
	if (n->actuator)
		lk_actuator_session(n->actuator);
}

void lk_node_take_over(struct lk_node *n)
{
	lk_dtls_forget(n->dtls);
	leave(n);
	n->dtls = lk_node_other(n);
	begin(n);
}

static uint32_t handshake(struct lk_node *n)
{
	int err = lk_dtls_handshake(n->dtls);

	if (err == LK_EAGAIN)
		return lk_dtls_due(n->dtls);
	if (err < 0)
		lost(n, err);
	else
		begin(n);
	return 0;
}

static void send(struct lk_node *n, const uint8_t *b, int len)
{
	if (len > 0 && lk_dtls_send(n->dtls, b, (size_t)len) < 0)
		lost(n, LK_ECLOSED);
}

void lk_node_ask(struct lk_node *n, struct lk_coap_out *o, int payload_len, enum lk_purpose purpose)
{
	if (!lk_exchange_sent(&n->out, lk_coap_end(o, payload_len), lk_node_millis(n), lk_node_jitter(n, UINT16_MAX))) {
		lk_node_tell(n, "request does not fit", purpose);
		return;
	}
	n->purpose = purpose;
	send(n, n->out.b, n->out.n);
}

static void register_node(struct lk_node *n)
{
	struct lk_coap_out o;
	char lt[] = "lt=00000";
	char ep[3 + sizeof n->settings->device] = "ep=";

	/* What an update does not name stays as it was, so only a new registration says what the node is (RFC 9176 §5.3.1). */
	bool links = n->actuator && !n->location[0];
	size_t cap;
	int len = 0;

	lk_exchange_begin(&n->out, &o, LK_COAP_POST, n->location[0] ? n->location : "rd");
	if (links)
		lk_coap_option_uint(&o, LK_COAP_CONTENT_FORMAT, LK_FORMAT_LINKS);
	for (uint32_t i = sizeof lt - 2, v = n->lifetime; i >= 3; i--, v /= 10)
		lt[i] = (char)('0' + v % 10);
	lk_coap_option(&o, LK_COAP_URI_QUERY, (const uint8_t *)lt, sizeof lt - 1);
	if (n->settings->device[0]) {
		memcpy(ep + 3, n->settings->device, sizeof n->settings->device);
		lk_coap_option(&o, LK_COAP_URI_QUERY, (const uint8_t *)ep, strlen(ep));
	}
	if (links) {
		uint8_t *b = lk_coap_payload(&o, &cap);
		len = lk_actuator_links(n->actuator, b, cap);
	}
	lk_node_ask(n, &o, len, LK_FOR_REGISTRATION);
}

/* Keeps the Echo and, of a registration, the path of an answer. */
static bool read_answer(struct lk_node *n, const struct lk_coap *m, char location[LK_LOCATION_MAX + 1])
{
	struct lk_coap_option o = {0};
	size_t len = 0;
	bool whole = true;

	memset(location, 0, LK_LOCATION_MAX + 1);
	while (lk_coap_next(m, &o)) {
		if (o.number == LK_COAP_ECHO)
			lk_held_take(&n->held, o.value, o.len, n->dtls->read_at);
		if (o.number != LK_COAP_LOCATION_PATH)
			continue;
		if (o.len + 1 > LK_LOCATION_MAX - len || memchr(o.value, 0, o.len)) {
			whole = false;
			continue;
		}
		if (len > 0)
			location[len++] = '/';
		memcpy(location + len, o.value, o.len);
		len += o.len;
	}
	return whole && len > 0;
}

void lk_node_hold(struct lk_node *n) { n->hold = lk_node_millis(n) + BUSY_PAUSE + lk_node_jitter(n, BUSY_PAUSE); }

static void registered(struct lk_node *n, uint8_t code, const char *location, bool located)
{
	if (lk_node_busy(code)) {
		lk_node_hold(n);
		return;
	}
	if (code == LK_COAP_CREATED && located)
		memcpy(n->location, location, sizeof n->location);
	else if (code == LK_COAP_NOT_FOUND && n->location[0])
		n->location[0] = 0; /* the gateway forgot us: n->renew is still due, and registers anew */
	else if (code != LK_COAP_CHANGED || !n->location[0]) {
		lk_node_tell(n, "registration refused, code", code);
		lost(n, LK_ENONE);
		return;
	}
	if (n->location[0]) {
		uint32_t ms = n->lifetime * 1000;
		if (n->renew == n->at)
			lk_node_tell(n, "registered", n->lifetime);
		n->renew = lk_node_millis(n) + ms / 3 - lk_node_jitter(n, ms / 30);
	}
}

static void answered(struct lk_node *n, const struct lk_coap *m)
{
	char location[LK_LOCATION_MAX + 1];
	bool located = read_answer(n, m, location);
	enum lk_purpose purpose = n->purpose;

	n->proven = true;
	n->purpose = LK_FOR_NOTHING;
	switch (purpose) {
	case LK_FOR_REGISTRATION:
		registered(n, m->code, location, located);
		break;
	case LK_FOR_INTENT:
		if (n->intent.active)
			lk_intent_judged(n, m);
		break;
	case LK_FOR_REPORT:
		lk_report_taken(n, m->code);
		break;
	default:
		break;
	}
}

/* An ACK, or a Reset for what is not understood (RFC 7252 §4.2), which a ping is answered with too; or a ping. */
void lk_node_send_empty(struct lk_node *n, uint8_t type, uint16_t mid)
{
	struct lk_coap_out o;

	lk_coap_begin(&o, n->answer, sizeof n->answer, type, LK_COAP_EMPTY, mid, NULL, 0);
	send(n, n->answer, lk_coap_end(&o, 0));
}

static void take(struct lk_node *n, size_t len)
{
	struct lk_coap m;
	int err = lk_coap_parse(&m, n->in, len);
	bool con = err != LK_ENONE && m.type == LK_COAP_CON;

	if (err < 0) {
		if (con)
			lk_node_send_empty(n, LK_COAP_RST, m.mid);
		return;
	}
	if (lk_renewal_answered(n, &m))
		return;
	switch (lk_exchange_take(&n->out, &m, n->dtls->read_at)) {
	case LK_EXCHANGE_ANSWER:
		if (con)
			lk_node_send_empty(n, LK_COAP_ACK, m.mid);
		answered(n, &m);
		break;
	case LK_EXCHANGE_LATE:
		if (con)
			lk_node_send_empty(n, LK_COAP_ACK, m.mid);
		break;
	case LK_EXCHANGE_RESET:
		lost(n, LK_ENONE); /* a gateway that does not take our requests */
		break;
	case LK_EXCHANGE_ACKED:
		n->proven = true;
		break;
	default:
		if (con && m.code != LK_COAP_EMPTY && m.code >> 5 == 0)
			send(n, n->answer, lk_serve(n, &m));
		else if (con)
			lk_node_send_empty(n, LK_COAP_RST, m.mid);
	}
}

static void receive(struct lk_node *n)
{
	for (int i = 0; i < MOST_MESSAGES && n->state == LK_NODE_UP; i++) {
		int len = lk_dtls_recv(n->dtls, n->in, sizeof n->in);
		if (len == LK_EAGAIN)
			return;
		if (len == LK_ECLOSED)
			lost(n, len);
		else if (len > 0)
			take(n, (size_t)len);
	}
}

/* Ends what took too long. */
static void check_limits(struct lk_node *n, uint32_t now)
{
	struct lk_intent *i = &n->intent;
	bool asked = i->active && i->sent && n->out.active && n->purpose == LK_FOR_INTENT;
	uint32_t silence = asked ? now - i->sent_at : 0;

	if (i->active && now - i->at >= LK_SCAN_WINDOW) { /* a door that opens later opens for somebody else */
		lk_intent_end(n, LK_EAGAIN, "no verdict in time", (uint32_t)i->n);
		if (silence >= SILENCE)
			lost(n, LK_EAGAIN);
	} else if (!n->proven && silence >= SILENCE_RESUMED) {
		lk_node_tell(n, "resumed session is not answered", silence);
		lose(n, 0);
	} else if (n->state == LK_NODE_UP && n->out.active && n->purpose != LK_FOR_INTENT && now - n->out.sent >= REQUEST_LIMIT) {
		lost(n, LK_EAGAIN);
	}
}

/* Begins what is to be asked of the gateway next; an intent goes before everything else. */
static void ask_next(struct lk_node *n, uint32_t now)
{
	if (n->intent.active && (!n->out.active || n->purpose != LK_FOR_INTENT)) {
		if (n->out.active && n->purpose == LK_FOR_REPORT) {
			n->wanted |= n->sending;
			n->sending = 0;
		}
		lk_intent_send(n);
	} else if (n->out.active) {
		if (lk_exchange_repeat(&n->out, now))
			send(n, n->out.b, n->out.n);
	} else if (!passed(now, n->hold)) {
		return;
	} else if (passed(now, n->renew)) {
		register_node(n);
	} else if (n->wanted != 0) {
		lk_report_send(n);
	}
}

static void count_seconds(struct lk_node *n, uint32_t now)
{
	while (now - n->second >= 1000) {
		n->second += 1000;
		n->uptime++;
	}
}

uint32_t lk_node_step(struct lk_node *n)
{
	uint32_t now = lk_node_millis(n), due = UINT32_MAX;

	count_seconds(n, now);
	if (passed(now, n->hold))
		n->hold = now; /* not so far back that it would look ahead */
	if (now - n->exit_at >= EXIT_COUNTS)
		n->wanted &= (uint8_t)~LK_REPORT_EXIT; /* told now it would be taken for one of now, and excuse a door that was forced since */
	lk_echoes_expire(&n->issued, now);
	lk_held_expire(&n->held, now);
	if (n->state == LK_NODE_UP)
		receive(n);
	now = lk_node_millis(n);
	check_limits(n, now);
	switch (n->state) {
	case LK_NODE_WAITING:
		if (!passed(now, n->at))
			due = until(now, n->at);
		else if (!n->port->net_ready(n->port->ctx)) {
			n->at = now + LOOK_AGAIN; /* a moment of weeks ago would look ahead */
			due = LOOK_AGAIN;
		} else {
			connect(n);
			due = 0;
		}
		break;
	case LK_NODE_HANDSHAKE:
		due = handshake(n);
		break;
	case LK_NODE_UP:
		ask_next(n, now);
		if (n->out.active)
			due = sooner(lk_exchange_due(&n->out, now),
				n->purpose == LK_FOR_INTENT ? SILENCE_RESUMED : until(now, n->out.sent + REQUEST_LIMIT));
		else
			due = until(now, n->wanted != 0 || passed(now, n->renew) ? n->hold : n->renew);
		if (n->state == LK_NODE_UP)
			due = sooner(due, lk_renewal_step(n, now));
		break;
	}
	if (n->intent.active)
		due = sooner(due, until(now, n->intent.at + LK_SCAN_WINDOW));
	return due;
}
