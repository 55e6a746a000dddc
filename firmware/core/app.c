#include "app.h"

#include <string.h>

#include "err.h"

#ifndef LK_ROLE_LOCK
#define LK_ROLE_LOCK 0
#endif
#ifndef LK_ROLE_LAMP
#define LK_ROLE_LAMP 0
#endif

#if LK_ROLE_READER
#define ROLE "reader"
#elif LK_ROLE_SWITCH
#define ROLE "switch"
#elif LK_ROLE_LOCK
#define ROLE "lock"
#elif LK_ROLE_LAMP
#define ROLE "lamp"
#else
#error "say which image this is: -DLK_ROLE_READER=1, _SWITCH, _LOCK or _LAMP"
#endif

enum {
	STILL = 30,             /* ms a contact must be still */
	LOOK = 20,              /* ms between two looks at the inputs */
	LONGEST_WAIT = 50,      /* ms; the console is looked at between waits */
	HEALTH_EVERY = 600000,  /* ms between reports of the supply and the signal */
	AWAKE_FOR = 5000,       /* ms a battery reader waits for a card after its wake */
	AWAKE_AFTER = 1200,     /* ms it stays after a verdict: the light says what it was, and the gateway may ask whether we moved */
	AWAKE_AT_MOST = 40000,  /* ms; a gateway that does not answer must not empty the battery */
	ASLEEP_FOR = 3600000,   /* ms */
};

static uint32_t sooner(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Takes the state of a contact; true when it has changed for good. */
static bool changed(struct lk_debounce *d, bool raw, uint32_t now)
{
	if (raw != d->raw) {
		d->raw = raw;
		d->since = now;
	}
	if (d->raw == d->now || now - d->since < STILL)
		return false;
	d->now = d->raw;
	return true;
}

static bool input(const struct lk_app *a, enum lk_input which) { return a->port->input(a->port->ctx, which); }

/* Without settings there is nobody to tell. */
static void report(struct lk_app *a, uint8_t what)
{
	if (a->ready)
		lk_node_report(&a->node, what);
}

#if LK_ROLE_READER
static void role_init(struct lk_app *a) { lk_mfrc522_init(&a->chip); }

static uint32_t role_step(struct lk_app *a, uint32_t now)
{
	uint8_t uid[LK_UID_MAX];
	uint32_t at, due = lk_mfrc522_step(&a->chip, a->port, now);
	int len = lk_mfrc522_take(&a->chip, uid, &at);

	if (len > 0 && !lk_node_scan(&a->node, uid, (size_t)len, at))
		lk_led_once(&a->led, LK_LED_RETRY, now);
	lk_wipe(uid, sizeof uid);
	return due;
}
#elif LK_ROLE_SWITCH
static void role_init(struct lk_app *a) { (void)a; }

static uint32_t role_step(struct lk_app *a, uint32_t now)
{
	if (changed(&a->button, input(a, LK_INPUT_BUTTON), now) && a->button.now && !lk_node_press(&a->node, LK_TOGGLE, a->button.since))
		lk_led_once(&a->led, LK_LED_RETRY, now);
	return LOOK;
}
#elif LK_ROLE_LOCK
static void role_init(struct lk_app *a)
{
	a->contact.now = a->contact.raw = input(a, LK_INPUT_CONTACT);
	a->actuator.contact = a->contact.now ? LK_CONTACT_OPEN : LK_CONTACT_CLOSED;
	report(a, LK_REPORT_CONTACT);
}

static uint32_t role_step(struct lk_app *a, uint32_t now)
{
	if (changed(&a->button, input(a, LK_INPUT_BUTTON), now) && a->button.now) {
		lk_actuator_exit(&a->actuator, now);
		report(a, LK_REPORT_EXIT);
	}
	if (changed(&a->contact, input(a, LK_INPUT_CONTACT), now)) {
		a->actuator.contact = a->contact.now ? LK_CONTACT_OPEN : LK_CONTACT_CLOSED;
		report(a, a->contact.now ? LK_REPORT_CONTACT | LK_REPORT_OPENED : LK_REPORT_CONTACT);
	}
	return sooner(LOOK, lk_actuator_poll(&a->actuator, now));
}
#else
static void role_init(struct lk_app *a) { (void)a; }

static uint32_t role_step(struct lk_app *a, uint32_t now) { return lk_actuator_poll(&a->actuator, now); }
#endif

#if LK_BATTERY
static void wake(struct lk_app *a, uint32_t now)
{
	a->node.registration.lifetime = LK_LIFETIME_ASLEEP;
	a->awake = now + AWAKE_FOR;
	if (a->port->boot(a->port->ctx) == LK_BOOT_WAKE && lk_sleep_load(&a->sleep, &a->node) < 0)
		a->port->log(a->port->ctx, "nothing kept over sleep", 0);
}

static void stay_awake(struct lk_app *a, uint32_t ms, uint32_t now) { a->awake = now + ms; }

static void sleep_if_done(struct lk_app *a, uint32_t now)
{
	bool late = now - a->began > AWAKE_AT_MOST;

	if (!late && ((int32_t)(now - a->awake) < 0 || !lk_node_is_idle(&a->node) || !lk_node_is_online(&a->node)))
		return;
	int len = lk_sleep_save(&a->sleep, &a->node);
	a->port->log(a->port->ctx, "asleep, bytes kept", len < 0 ? 0 : (uint32_t)len);
	a->port->sleep(a->port->ctx, ASLEEP_FOR);
}
#else
static void wake(struct lk_app *a, uint32_t now) { (void)a, (void)now; }
static void stay_awake(struct lk_app *a, uint32_t ms, uint32_t now) { (void)a, (void)ms, (void)now; }
static void sleep_if_done(struct lk_app *a, uint32_t now) { (void)a, (void)now; }
#endif

static void name_setting(const struct lk_port *p, const char *key)
{
	p->print(p->ctx, key);
	p->print(p->ctx, " is missing, or no good\r\n");
}

/* Tells whether the settings are complete and this image's, and says what is wrong with them. */
static bool provisioned(struct lk_app *a)
{
	const struct lk_port *p = a->port;
	const char *what;
	int err = lk_settings_load(&a->settings, p);

#ifdef LK_IDENTITY /* a bundle is built in: -include FILE, from latchkey device add --format c-header */
	static const struct lk_bundle bundle = LK_BUNDLE("", "");
	if (err == LK_ENONE && lk_settings_seed(&a->settings, &bundle) == 0)
		err = 0;
#endif
	a->draft = a->settings;
	if (err == LK_EIO)
		p->log(p->ctx, "flash cannot be read", 0);
	if ((what = a->settings.bad) != NULL || (what = lk_settings_missing(&a->settings)) != NULL)
		name_setting(p, what);
	else if (!lk_settings_fits(&a->settings, ROLE))
		p->log(p->ctx, "these settings are not a " ROLE "'s", 0);
	else
		return err == 0;
	p->log(p->ctx, "not provisioned: type help", 0);
	return false;
}

static void tell_case(struct lk_app *a)
{
	a->node.report.tamper = a->tamper.now;
	report(a, a->tamper.now ? LK_REPORT_TAMPER | LK_REPORT_TAMPERED : LK_REPORT_TAMPER);
}

void lk_app_init(struct lk_app *a, const struct lk_port *port)
{
	memset(a, 0, sizeof *a);
	a->port = port;
	lk_actuator_init(&a->actuator, port, LK_ROLE_LAMP);
	lk_console_init(&a->console, port, &a->draft, ROLE);
	uint32_t now = port->now(port->ctx);
	a->began = a->health = now;
	port->log(port->ctx, "latchkey " ROLE ", started for reason", (uint32_t)port->boot(port->ctx));
	a->ready = provisioned(a);
	if (!a->ready)
		return;
	if (lk_counter_load(&a->counter, port) < 0)
		port->log(port->ctx, "counter lost: the gateway tells it again", 0);
	lk_node_init(&a->node, port, &a->settings, &a->counter, LK_ROLE_LOCK || LK_ROLE_LAMP ? &a->actuator : NULL);
	wake(a, now);
	if (port->boot(port->ctx) != LK_BOOT_WAKE)
		report(a, LK_REPORT_BOOT);
	a->tamper.now = a->tamper.raw = input(a, LK_INPUT_TAMPER);
	tell_case(a); /* shut, too: it may have been told as open before */
	role_init(a);
	if (a->settings.ssid[0])
		(void)port->net_join(port->ctx, a->settings.ssid, a->settings.password);
}

static void show_verdict(struct lk_app *a, uint32_t now)
{
	int verdict;

	if (!lk_intent_take_verdict(&a->node.intent, &verdict))
		return;
	stay_awake(a, AWAKE_AFTER, now);
	lk_led_once(&a->led, verdict == LK_GRANTED ? LK_LED_GRANTED : verdict == LK_DENIED ? LK_LED_DENIED : LK_LED_RETRY, now);
}

void lk_app_step(struct lk_app *a)
{
	const struct lk_port *p = a->port;
	uint32_t now = p->now(p->ctx), due = LONGEST_WAIT;
	int c;

	p->feed(p->ctx);
	while ((c = p->console_read(p->ctx)) >= 0)
		lk_console_byte(&a->console, (uint8_t)c);
	if (LK_ROLE_LOCK && !a->ready)
		due = role_step(a, now); /* who is inside gets out all the same */
	if (a->ready) {
		if (changed(&a->tamper, input(a, LK_INPUT_TAMPER), now))
			tell_case(a);
		if ((int32_t)(now - a->health) >= 0) {
			a->health = now + HEALTH_EVERY;
			report(a, LK_REPORT_HEALTH);
		}
		due = sooner(due, role_step(a, now));
		due = sooner(due, lk_node_step(&a->node));
		show_verdict(a, now);
		lk_led_base(&a->led, a->chip.dead ? LK_LED_FAULT : lk_node_is_online(&a->node) ? LK_LED_ONLINE : LK_LED_CONNECTING);
		sleep_if_done(a, now);
	}
	due = sooner(due, lk_led_poll(&a->led, p, now));
	if (due > 0)
		p->udp_wait(p->ctx, due);
}
