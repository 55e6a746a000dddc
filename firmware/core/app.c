#include "app.h"

#include <string.h>

#include "err.h"

enum {
	LONGEST_WAIT = 50,     /* ms; the console is read between waits */
	HEALTH_EVERY = 600000, /* ms between reports of the supply and the signal */
};

static uint32_t sooner(uint32_t a, uint32_t b) { return a < b ? a : b; }

static void name_setting(const struct lk_port *p, const char *key)
{
	p->print(p->ctx, key);
	p->print(p->ctx, " is missing, or no good\r\n");
}

/* Tells whether the settings are complete and for this unit, and logs what is wrong with them. */
static bool load_settings(const struct lk_part *part)
{
	struct lk_unit *u = part->unit;
	const struct lk_port *p = u->port;
	struct lk_settings *s = &u->settings;
	const char *what;
	int err = lk_settings_load(s, p);

	if (err == LK_ENONE && part->seed && part->seed(s) == 0)
		err = 0;
	u->draft.settings = *s;
	if (err == LK_EIO)
		p->log(p->own, "flash cannot be read", 0);
	if ((what = s->bad) != NULL || (what = lk_settings_find_missing(s)) != NULL)
		name_setting(p, what);
	else if (!lk_settings_fits(s, u->role->kind))
		p->log(p->own, u->role->foreign, 0);
	else
		return err == 0;
	p->log(p->own, "not provisioned: type help", 0);
	return false;
}

static void report_case(const struct lk_app *a, struct lk_unit *u)
{
	u->node.report.tamper = a->tamper.now;
	lk_unit_report(u, a->tamper.now ? LK_REPORT_TAMPER | LK_REPORT_TAMPERED : LK_REPORT_TAMPER);
}

static void start_unit(const struct lk_app *a, const struct lk_part *part, uint32_t now)
{
	struct lk_unit *u = part->unit;
	const struct lk_port *p = u->port;

	p->log(p->own, u->role->started, (uint32_t)p->boot(p->ctx));
	u->ready = load_settings(part);
	if (!u->ready)
		return;
	if (lk_counter_load(&u->counter, p) < 0)
		p->log(p->own, "counter lost: the gateway tells it again", 0);
	struct lk_served served = {u->role->serves, u->actuator};
	lk_node_init(&u->node, p, &u->settings, &u->counter, &served);
	if (p->boot(p->ctx) != LK_BOOT_WAKE)
		lk_unit_report(u, LK_REPORT_BOOT);
	report_case(a, u); /* shut, too: it may have been reported as open before */
	if (u->role->start)
		u->role->start(u, now);
}

/* Joins the WiFi of the first unit that has settings for it. */
static void join_network(const struct lk_app *a)
{
	const struct lk_port *p = a->port;

	for (const struct lk_part *part = a->parts; part->unit; part++) {
		const struct lk_settings *s = &part->unit->settings;
		if (part->unit->ready && s->ssid[0]) {
			(void)p->net_join(p->ctx, s->ssid, s->password);
			return;
		}
	}
}

void lk_app_init(struct lk_app *a, const struct lk_part *parts, const struct lk_port *ports)
{
	const struct lk_port *p = ports;
	size_t n = 0;

	memset(a, 0, sizeof *a);
	a->port = p;
	a->parts = parts;
	p->output(p->ctx, 0, 0);
	for (; parts[n].unit; n++) {
		struct lk_unit *u = parts[n].unit;
		u->role = parts[n].role;
		u->port = u->draft.port = &ports[n];
		u->draft.kind = u->role->kind;
		u->led = &a->led;
		if (u->role->init)
			u->actuator = u->role->init(u);
		a->drafts[n] = &u->draft;
	}
	lk_console_init(&a->console, p, a->drafts, n);
	lk_debounce_begin(&a->tamper, p->input(p->ctx, LK_INPUT_TAMPER));
	uint32_t now = a->health = p->now(p->ctx);
	for (const struct lk_part *part = parts; part->unit; part++)
		start_unit(a, part, now);
	join_network(a);
}

/* Takes a verdict and shows it; true if there was one. */
static bool show_verdict(struct lk_unit *u, uint32_t now)
{
	int verdict;

	if (!lk_intent_take_verdict(&u->node.intent, &verdict))
		return false;
	enum lk_led_sign refused = verdict == LK_DENIED ? LK_LED_DENIED : LK_LED_RETRY;
	lk_led_show_once(u->led, verdict == LK_GRANTED ? LK_LED_GRANTED : refused, now);
	return true;
}

static uint32_t step_unit(struct lk_unit *u, uint32_t now)
{
	if (!u->ready)
		return u->role->without_settings ? u->role->step(u, now) : LONGEST_WAIT;
	uint32_t due = u->role->step(u, now);
	due = sooner(due, lk_node_step(&u->node));
	bool decided = show_verdict(u, now);
	if (u->role->finish)
		u->role->finish(u, decided, now);
	return due;
}

/* The light's sign for a unit, between verdicts. */
static enum lk_led_sign sign_of(const struct lk_unit *u)
{
	if (!u->ready)
		return LK_LED_BARE;
	if (u->fault)
		return LK_LED_FAULT;
	return lk_node_is_online(&u->node) ? LK_LED_ONLINE : LK_LED_CONNECTING;
}

void lk_app_step(struct lk_app *a)
{
	const struct lk_port *p = a->port;
	uint32_t now = p->now(p->ctx), due = LONGEST_WAIT;
	enum lk_led_sign sign = LK_LED_ONLINE;
	int c;

	p->feed(p->ctx);
	while ((c = p->console_read(p->ctx)) >= 0)
		lk_console_take_byte(&a->console, (uint8_t)c);
	bool tampered = lk_debounce_update(&a->tamper, p->input(p->ctx, LK_INPUT_TAMPER), now);
	bool health = (int32_t)(now - a->health) >= 0;
	if (health)
		a->health = now + HEALTH_EVERY;
	for (const struct lk_part *part = a->parts; part->unit; part++) {
		struct lk_unit *u = part->unit;
		if (tampered)
			report_case(a, u);
		if (health)
			lk_unit_report(u, LK_REPORT_HEALTH);
		due = sooner(due, step_unit(u, now));
		if (sign == LK_LED_ONLINE) /* the first unit that has trouble */
			sign = sign_of(u);
	}
	lk_led_set_base(&a->led, sign);
	due = sooner(due, lk_led_poll(&a->led, p, now));
	if (due > 0)
		p->udp_wait(p->ctx, due);
}
