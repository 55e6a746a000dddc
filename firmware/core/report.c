#include "inside.h"

#include "senml.h"

void lk_node_report(struct lk_node *n, uint8_t what)
{
	n->wanted |= what;
	if (what & LK_REPORT_EXIT)
		n->exit_at = lk_node_millis(n);
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

void lk_report_send(struct lk_node *n)
{
	const struct lk_port *p = n->port;
	struct lk_coap_out o;
	struct lk_senml s;
	uint32_t now = lk_node_millis(n);
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
	lk_node_ask(n, &o, lk_senml_end(&s), LK_FOR_REPORT);
}

void lk_report_taken(struct lk_node *n, uint8_t code)
{
	/* What came to the gateway late has changed nothing there, and its answer does not say so. */
	if (lk_node_busy(code) || n->dtls->read_at - n->out.sent >= LK_SCAN_WINDOW) {
		n->wanted |= n->sending;
		lk_node_hold(n);
	} else if (code != LK_COAP_CHANGED) {
		lk_node_tell(n, "report refused, code", code);
	}
	n->sending = 0;
}
