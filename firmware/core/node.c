#include "node.h"

#include <string.h>

#include "err.h"
#include "senml.h"

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
	MOST_STALE = 2,
	MOST_MESSAGES = 8, /* in one step */
	TOO_MANY_REQUESTS = LK_COAP_CODE(4, 29),
	UNAVAILABLE = LK_COAP_CODE(5, 3),
};

static bool passed(uint32_t now, uint32_t t) { return (int32_t)(now - t) >= 0; }

static uint32_t until(uint32_t now, uint32_t t) { return passed(now, t) ? 0 : t - now; }

static uint32_t sooner(uint32_t a, uint32_t b) { return a < b ? a : b; }

static uint32_t millis(const struct lk_node *n) { return n->port->now(n->port->ctx); }

static void tell(const struct lk_node *n, const char *text, uint32_t number) { n->port->log(n->port->ctx, text, number); }

/* A random number below limit, for jitter; without random bytes there is none. */
static uint32_t jitter(const struct lk_node *n, uint32_t limit)
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
	n->second = millis(n);
	n->at = n->second + jitter(n, FIRST_PAUSE); /* a hundred nodes get their power back at the same moment */
	lk_exchange_reset(&n->out, jitter(n, UINT16_MAX));
}

void lk_node_resume(struct lk_node *n, uint8_t *state, uint16_t len)
{
	n->saved = state;
	n->saved_len = len;
	n->at = millis(n);
}

bool lk_node_online(const struct lk_node *n) { return n->state == LK_NODE_UP && n->location[0] != 0; }

bool lk_node_idle(const struct lk_node *n) { return !n->intent.active && !n->out.active && n->wanted == 0; }

void lk_node_report(struct lk_node *n, uint8_t what)
{
	n->wanted |= what;
	if (what & LK_REPORT_EXIT)
		n->exit_at = millis(n);
}

bool lk_node_verdict(struct lk_node *n, int *verdict)
{
	bool decided = n->decided;

	n->decided = false;
	*verdict = n->verdict;
	return decided;
}

/* The association is over, whoever ended it. The next one comes after pause, at least. */
static void lose(struct lk_node *n, uint32_t pause)
{
	lk_dtls_close(&n->dtls);
	lk_exchange_forget(&n->out);
	lk_held_forget(&n->held);
	lk_echoes_reset(&n->issued);
	n->wanted |= n->sending;
	n->sending = 0;
	n->location[0] = 0;
	n->intent.sent = false;
	if (n->actuator)
		lk_actuator_lost(n->actuator);
	n->state = LK_NODE_WAITING;
	n->at = millis(n) + pause;
}

static void lost(struct lk_node *n, int err)
{
	uint32_t pause = n->pause / 2 + jitter(n, n->pause);

	if (n->state == LK_NODE_UP && millis(n) - n->at > GOOD_SESSION)
		n->pause = FIRST_PAUSE;
	else
		n->pause = sooner(2 * n->pause, LONGEST_PAUSE);
	tell(n, "session lost, error", (uint32_t)-err);
	lose(n, pause);
}

static void connect(struct lk_node *n)
{
	const struct lk_settings *s = n->settings;
	int err = n->port->udp_open(n->port->ctx, s->host, s->port);

	if (err == LK_EAGAIN) {
		n->at = millis(n) + LOOK_AGAIN;
		return;
	}
	if (err < 0) {
		lost(n, err);
		return;
	}
	tell(n, "connecting", n->sessions + 1);
	if (n->saved_len > 0) {
		err = lk_dtls_resume(&n->dtls, n->port, n->saved, n->saved_len);
		lk_wipe(n->saved, n->saved_len);
		n->saved_len = 0;
		if (err == 0) {
			n->state = LK_NODE_UP;
			n->proven = false;
			n->at = millis(n);
			n->renew = n->hold = n->at;
			n->sessions++;
			tell(n, "session resumed", n->sessions);
			return;
		}
	}
	n->location[0] = 0;
	err = lk_dtls_open(&n->dtls, n->port, s->identity, s->secret);
	n->state = LK_NODE_HANDSHAKE;
	if (err < 0)
		lost(n, err);
}

static uint32_t handshake(struct lk_node *n)
{
	int err = lk_dtls_handshake(&n->dtls);

	if (err == LK_EAGAIN)
		return lk_dtls_due(&n->dtls);
	if (err < 0) {
		lost(n, err);
		return 0;
	}
	n->sessions++;
	tell(n, "session up", n->sessions);
	n->state = LK_NODE_UP;
	n->proven = true;
	n->at = millis(n);
	n->renew = n->hold = n->at;
	lk_exchange_reset(&n->out, jitter(n, UINT16_MAX));
	if (n->actuator)
		lk_actuator_session(n->actuator);
	return 0;
}

static void send(struct lk_node *n, const uint8_t *b, int len)
{
	if (len > 0 && lk_dtls_send(&n->dtls, b, (size_t)len) < 0)
		lost(n, LK_ECLOSED);
}

/* Sends the request that was begun: o and the length of its payload. */
static void ask(struct lk_node *n, struct lk_coap_out *o, int payload_len, enum lk_purpose purpose)
{
	if (!lk_exchange_sent(&n->out, lk_coap_end(o, payload_len), millis(n), jitter(n, UINT16_MAX))) {
		tell(n, "request does not fit", purpose);
		return;
	}
	n->purpose = purpose;
	send(n, n->out.b, n->out.n);
}

static void end_intent(struct lk_node *n, int verdict, const char *text, uint32_t number)
{
	n->intent.active = false;
	lk_wipe(n->intent.uid, sizeof n->intent.uid);
	n->decided = true;
	n->verdict = verdict;
	if (n->purpose == LK_FOR_INTENT)
		lk_exchange_forget(&n->out);
	tell(n, text, number);
}

static void send_intent(struct lk_node *n)
{
	struct lk_intent *i = &n->intent;
	struct lk_coap_out o;
	char path[4 + sizeof n->settings->target] = "scan";
	uint32_t now = millis(n);
	int32_t age;
	size_t cap;

	if (i->uid_len == 0) {
		memcpy(path, "act/", 4);
		memcpy(path + 4, n->settings->target, sizeof n->settings->target);
	}
	tell(n, "asking", (uint32_t)i->n);
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
	ask(n, &o, len, LK_FOR_INTENT);
	if (len < 0)
		end_intent(n, len, "no verdict, cannot be sent: error", (uint32_t)-len);
}

static bool intend(struct lk_node *n, uint32_t at)
{
	struct lk_intent *i = &n->intent;

	if (i->active) {
		tell(n, "the one before has no verdict yet", 0);
		return false;
	}
	memset(i, 0, sizeof *i);
	int err = lk_counter_next(n->counter, n->port, &i->n);
	if (err < 0) {
		tell(n, "counter cannot be kept, error", (uint32_t)-err);
		return false;
	}
	i->active = true;
	i->at = at;
	if (n->state == LK_NODE_WAITING)
		n->at = millis(n); /* the back-off is for nodes that nobody waits at */
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

static void register_node(struct lk_node *n)
{
	struct lk_coap_out o;
	char lt[] = "lt=00000";
	char ep[3 + sizeof n->settings->device] = "ep=";

	lk_exchange_begin(&n->out, &o, LK_COAP_POST, n->location[0] ? n->location : "rd");
	for (uint32_t i = sizeof lt - 2, v = n->lifetime; i >= 3; i--, v /= 10)
		lt[i] = (char)('0' + v % 10);
	lk_coap_option(&o, LK_COAP_URI_QUERY, (const uint8_t *)lt, sizeof lt - 1);
	if (n->settings->device[0]) {
		memcpy(ep + 3, n->settings->device, sizeof n->settings->device);
		lk_coap_option(&o, LK_COAP_URI_QUERY, (const uint8_t *)ep, strlen(ep));
	}
	ask(n, &o, 0, LK_FOR_REGISTRATION);
}

static const char *boot_text(enum lk_boot b)
{
	switch (b) {
	case LK_BOOT_RESET:
		return "reset";
	case LK_BOOT_WATCHDOG:
		return "watchdog";
	case LK_BOOT_WAKE:
		return "wake";
	default:
		return "power";
	}
}

/* What was open and is shut again is told as both, in that order. */
static void add_contact(struct lk_senml *s, const char *name, bool told, bool opened, bool open)
{
	if (opened)
		lk_senml_add_flag(s, name, true);
	if (told && !(opened && open))
		lk_senml_add_flag(s, name, open);
}

static void send_report(struct lk_node *n)
{
	const struct lk_port *p = n->port;
	struct lk_coap_out o;
	struct lk_senml s;
	uint32_t now = millis(n);
	int32_t age;
	size_t cap;

	lk_exchange_begin(&n->out, &o, LK_COAP_POST, "report");
	lk_coap_option_uint(&o, LK_COAP_CONTENT_FORMAT, LK_FORMAT_SENML_CBOR);
	int echo_len = lk_held_age(&n->held, now, now, &age);
	if (echo_len > 0)
		lk_coap_option(&o, LK_COAP_ECHO, n->held.echo, (size_t)echo_len);
	uint8_t *b = lk_coap_payload(&o, &cap);
	lk_senml_begin(&s, b, cap, age);
	n->sending = n->wanted;
	n->wanted = 0;
	if (n->sending & LK_REPORT_EXIT) /* before the contact, which it explains */
		lk_senml_add_flag(&s, "exit", true);
	if (n->actuator)
		add_contact(&s, "contact", n->sending & LK_REPORT_CONTACT, n->sending & LK_REPORT_OPENED, n->actuator->contact == LK_CONTACT_OPEN);
	add_contact(&s, "tamper", n->sending & LK_REPORT_TAMPER, n->sending & LK_REPORT_TAMPERED, n->tamper);
	if (n->sending & LK_REPORT_BOOT)
		lk_senml_add_text(&s, "boot", boot_text(p->boot(p->ctx)));
	if (n->sending & LK_REPORT_HEALTH) {
		uint32_t mv = p->voltage(p->ctx);
		int32_t dbm = p->rssi(p->ctx);
		lk_senml_add_number(&s, "uptime", "s", (int32_t)n->uptime);
		if (mv != 0)
			lk_senml_add_number(&s, "supply", "mV", (int32_t)mv);
		if (dbm != 0)
			lk_senml_add_number(&s, "rssi", "dBm", dbm);
	}
	ask(n, &o, lk_senml_end(&s), LK_FOR_REPORT);
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
			lk_held_take(&n->held, o.value, o.len, n->dtls.read_at);
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

static void hold(struct lk_node *n) { n->hold = millis(n) + BUSY_PAUSE + jitter(n, BUSY_PAUSE); }

static void registered(struct lk_node *n, uint8_t code, const char *location, bool located)
{
	if (code == TOO_MANY_REQUESTS || code == UNAVAILABLE) {
		hold(n);
		return;
	}
	if (code == LK_COAP_CREATED && located)
		memcpy(n->location, location, sizeof n->location);
	else if (code == LK_COAP_NOT_FOUND && n->location[0])
		n->location[0] = 0; /* the gateway forgot us: n->renew is still due, and registers anew */
	else if (code != LK_COAP_CHANGED || !n->location[0]) {
		tell(n, "registration refused, code", code);
		lost(n, LK_ENONE);
		return;
	}
	if (n->location[0]) {
		uint32_t ms = n->lifetime * 1000;
		if (n->renew == n->at)
			tell(n, "registered", n->lifetime);
		n->renew = millis(n) + ms / 3 - jitter(n, ms / 30);
	}
}

static void judged(struct lk_node *n, const struct lk_coap *m)
{
	struct lk_intent *i = &n->intent;
	struct lk_verdict v;
	static const char *const texts[] = {"verdict denied", "verdict granted", "verdict retry"};

	if (n->dtls.read_at - i->at >= LK_SCAN_WINDOW)
		return; /* too late to be shown, or asked again: check_limits ends it */
	if (m->code == LK_COAP_UNAUTHORIZED) {
		tell(n, "not fresh, asked again", ++i->stale);
		if (i->stale > MOST_STALE)
			end_intent(n, LK_ESTALE, "no verdict, never fresh", i->stale);
		else
			send_intent(n);
		return;
	}
	if (m->code != LK_COAP_CHANGED) {
		end_intent(n, LK_ENONE, "no verdict, code", m->code);
		return;
	}
	if (lk_verdict_parse(&v, m->payload, m->payload_len) < 0) {
		end_intent(n, LK_EMALFORMED, "no verdict, malformed", 0);
		return;
	}
	if (v.last <= i->n) {
		end_intent(n, v.verdict, texts[v.verdict], (uint32_t)v.last);
		return;
	}
	/* We were behind: flash erased, board swapped. */
	tell(n, "counter was behind, now after", (uint32_t)v.last);
	(void)lk_counter_reached(n->counter, n->port, v.last); /* if it cannot be kept, next says so */
	int err = lk_counter_next(n->counter, n->port, &i->n);
	if (err < 0)
		end_intent(n, err, "no verdict, counter cannot be kept", 0);
	else
		send_intent(n);
}

static void report_taken(struct lk_node *n, uint8_t code)
{
	bool busy = code == TOO_MANY_REQUESTS || code == UNAVAILABLE;

	/* What came to the gateway late has changed nothing there, and its answer does not say so. */
	if (busy || n->dtls.read_at - n->out.sent >= LK_SCAN_WINDOW) {
		n->wanted |= n->sending;
		hold(n);
	} else if (code != LK_COAP_CHANGED) {
		tell(n, "report refused, code", code);
	}
	n->sending = 0;
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
			judged(n, m);
		break;
	case LK_FOR_REPORT:
		report_taken(n, m->code);
		break;
	default:
		break;
	}
}

/* What a request of the gateway asks for. */
struct request {
	bool act, core;
	bool bad_option;
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
			r->bad_option |= o.number & 1; /* critical, and not known (RFC 7252 §5.4.1) */
		}
	}
}

/* Obeys a command and fills in its receipt, or says why not. Returns the code. */
static uint8_t command(struct lk_node *n, const struct lk_coap *m, const struct request *r, struct lk_receipt *receipt)
{
	struct lk_command c;

	if (r->format != LK_FORMAT_CBOR)
		return LK_COAP_UNSUPPORTED_FORMAT;
	if (lk_command_parse(&c, m->payload, m->payload_len) < 0 || !lk_actuator_fits(n->actuator, c.action)) {
		lk_actuator_lost(n->actuator); /* fail shut */
		return LK_COAP_BAD_REQUEST;
	}
	/* A repeat of what was obeyed gets the receipt, however late it is: it moves nothing, and 4.01 would say that nothing was done. */
	bool again = c.id == n->actuator->last;
	switch (again ? LK_FRESH : lk_echoes_check(&n->issued, r->echo, r->echo_len, c.age, LK_COMMAND_WINDOW, n->dtls.read_at)) {
	case LK_FRESH:
		break;
	case LK_BAD_AGE:
		return LK_COAP_BAD_REQUEST;
	default:
		tell(n, "command not fresh", (uint32_t)c.id);
		return LK_COAP_UNAUTHORIZED;
	}
	lk_actuator_obey(n->actuator, &c, millis(n), receipt);
	tell(n, receipt->result == LK_DONE ? "command done" : "command refused", (uint32_t)c.id);
	return LK_COAP_CHANGED;
}

/* Serves one confirmable request. A repeat of it is served again rather than answered from memory (RFC 7252 §4.5 allows it where nothing
 * changes by it): a state is read, and a command with a known id moves nothing. */
static void serve(struct lk_node *n, const struct lk_coap *m)
{
	static const char links[] = "</act>;rt=\"latchkey.act\";if=\"core.a\";ct=60";
	struct request r;
	struct lk_receipt receipt = {0};
	struct lk_coap_out o;
	uint8_t code = LK_COAP_NOT_FOUND, random[8], echo[8];
	size_t cap;
	int len = 0;

	read_request(m, &r);
	uint32_t format = r.core ? LK_FORMAT_LINKS : LK_FORMAT_CBOR;
	bool known = r.core || (r.act && n->actuator);
	bool state = r.act && m->code == LK_COAP_GET;
	if (r.bad_option)
		code = LK_COAP_BAD_OPTION;
	else if (known && r.accept != UINT32_MAX && r.accept != format)
		code = LK_COAP_NOT_ACCEPTABLE;
	else if (known && m->code == LK_COAP_GET)
		code = LK_COAP_CONTENT;
	else if (known && r.act && m->code == LK_COAP_POST)
		code = command(n, m, &r, &receipt);
	else if (known)
		code = LK_COAP_NOT_ALLOWED;

	lk_coap_begin(&o, n->answer, sizeof n->answer, LK_COAP_ACK, code, m->mid, m->token, m->token_len);
	bool good = code >> 5 == 2, full = good && n->actuator;
	if (full)
		lk_coap_option_uint(&o, LK_COAP_CONTENT_FORMAT, format);
	if ((good || code == LK_COAP_UNAUTHORIZED) && n->port->random(n->port->ctx, random, sizeof random) == 0) {
		lk_echoes_issue(&n->issued, millis(n), random, echo);
		lk_coap_option(&o, LK_COAP_ECHO, echo, sizeof echo);
	}
	uint8_t *b = lk_coap_payload(&o, &cap);
	if (full && r.core) {
		len = sizeof links - 1;
		if ((size_t)len <= cap)
			memcpy(b, links, sizeof links - 1);
	} else if (full && state) {
		lk_actuator_state(n->actuator, millis(n), &receipt.state);
		len = lk_state_encode(&receipt.state, b, cap);
	} else if (full) {
		len = lk_receipt_encode(&receipt, b, cap);
	}
	send(n, n->answer, lk_coap_end(&o, len));
}

/* Sends a message without content: an ACK, or a Reset for what is not understood (RFC 7252 §4.2), which a ping is answered with too. */
static void send_empty(struct lk_node *n, uint8_t type, uint16_t mid)
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
			send_empty(n, LK_COAP_RST, m.mid);
		return;
	}
	switch (lk_exchange_take(&n->out, &m, n->dtls.read_at)) {
	case LK_EXCHANGE_ANSWER:
		if (con)
			send_empty(n, LK_COAP_ACK, m.mid);
		answered(n, &m);
		break;
	case LK_EXCHANGE_RESET:
		lost(n, LK_ENONE); /* a gateway that does not take our requests */
		break;
	case LK_EXCHANGE_ACKED:
		n->proven = true;
		break;
	default:
		if (con && m.code != LK_COAP_EMPTY && m.code >> 5 == 0)
			serve(n, &m);
		else if (con)
			send_empty(n, LK_COAP_RST, m.mid);
	}
}

static void receive(struct lk_node *n)
{
	for (int i = 0; i < MOST_MESSAGES && n->state == LK_NODE_UP; i++) {
		int len = lk_dtls_recv(&n->dtls, n->in, sizeof n->in);
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
		end_intent(n, LK_EAGAIN, "no verdict in time", (uint32_t)i->n);
		if (silence >= SILENCE)
			lost(n, LK_EAGAIN);
	} else if (!n->proven && silence >= SILENCE_RESUMED) {
		tell(n, "resumed session is not answered", silence);
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
		send_intent(n);
	} else if (n->out.active) {
		if (lk_exchange_repeat(&n->out, now))
			send(n, n->out.b, n->out.n);
	} else if (!passed(now, n->hold)) {
		return;
	} else if (passed(now, n->renew)) {
		register_node(n);
	} else if (n->wanted != 0) {
		send_report(n);
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
	uint32_t now = millis(n), due = UINT32_MAX;

	count_seconds(n, now);
	if (passed(now, n->hold))
		n->hold = now; /* not so far back that it would look ahead */
	if (now - n->exit_at >= EXIT_COUNTS)
		n->wanted &= (uint8_t)~LK_REPORT_EXIT; /* told now it would be taken for one of now, and excuse a door that was forced since */
	lk_echoes_expire(&n->issued, now);
	lk_held_expire(&n->held, now);
	if (n->state == LK_NODE_UP)
		receive(n);
	now = millis(n);
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
		break;
	}
	if (n->intent.active)
		due = sooner(due, until(now, n->intent.at + LK_SCAN_WINDOW));
	return due;
}
