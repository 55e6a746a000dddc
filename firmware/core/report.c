#include "report.h"

#include "senml.h"

enum { EXIT_COUNTS = 10000 }; /* ms that a press of the exit button explains an open door */

void lk_report_add(struct lk_report *r, uint8_t what, uint32_t now)
{
	r->wanted |= what;
	if (what & LK_REPORT_EXIT)
		r->exit_at = now;
}

void lk_report_pass_time(struct lk_report *r, uint32_t now)
{
	while (now - r->second >= 1000) {
		r->second += 1000;
		r->uptime++;
	}
	/* If it were reported now, the gateway would take it for a new press, and a door that was
	 * forced since would raise no alarm. */
	if (now - r->exit_at >= EXIT_COUNTS)
		r->wanted &= (uint8_t)~LK_REPORT_EXIT;
}

void lk_report_requeue(struct lk_report *r)
{
	r->wanted |= r->sending;
	r->sending = 0;
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

/* A contact that was open and is shut again is reported as both, in that order. */
static void add_contact(struct lk_senml *s, const char *name, bool told, bool opened, bool open)
{
	if (opened)
		lk_senml_add_flag(s, name, true);
	if (told && !(opened && open))
		lk_senml_add_flag(s, name, open);
}

static void add_health(const struct lk_report *r, const struct lk_port *p, struct lk_senml *s)
{
	uint32_t mv = p->voltage(p->ctx);
	int32_t dbm = p->rssi(p->ctx);

	lk_senml_add_number(s, "uptime", "s", (int32_t)r->uptime);
	if (mv != 0)
		lk_senml_add_number(s, "supply", "mV", (int32_t)mv);
	if (dbm != 0)
		lk_senml_add_number(s, "rssi", "dBm", dbm);
}

int lk_report_send(struct lk_report *r, struct lk_link *l, const struct lk_actuator *a)
{
	const struct lk_port *p = l->port;
	struct lk_coap_out o;
	struct lk_senml s;
	uint32_t now = lk_link_now(l);
	size_t cap;

	lk_exchange_begin(&l->out, &o, LK_COAP_POST, "report");
	lk_coap_option_uint(&o, LK_COAP_CONTENT_FORMAT, LK_FORMAT_SENML_CBOR);
	int32_t age = lk_link_add_echo(l, &o, now, now);
	uint8_t *b = lk_coap_payload(&o, &cap);
	lk_senml_begin(&s, b, cap, age);
	uint8_t what = r->sending = r->wanted;
	r->wanted = 0;
	if (what & LK_REPORT_EXIT) /* before the contact, which it explains */
		lk_senml_add_flag(&s, "exit", true);
	if (a)
		add_contact(
			&s, "contact", what & LK_REPORT_CONTACT, what & LK_REPORT_OPENED, a->contact == LK_CONTACT_OPEN);
	add_contact(&s, "tamper", what & LK_REPORT_TAMPER, what & LK_REPORT_TAMPERED, r->tamper);
	if (what & LK_REPORT_BOOT)
		lk_senml_add_text(&s, "boot", boot_text(p->boot(p->ctx)));
	if (what & LK_REPORT_HEALTH)
		add_health(r, p, &s);
	return lk_link_send_request(l, &o, lk_senml_end(&s), LK_FOR_REPORT);
}

void lk_report_take_answer(struct lk_report *r, struct lk_link *l, uint8_t code)
{
	/* The gateway ignores a late report, but its answer does not say so. So report again. */
	if (lk_link_is_busy(code) || l->dtls->read_at - l->out.sent >= LK_SCAN_WINDOW) {
		r->wanted |= r->sending;
		lk_link_hold_requests(l);
	} else if (code != LK_COAP_CHANGED) {
		lk_link_log(l, "report refused, code", code);
	}
	r->sending = 0;
}
