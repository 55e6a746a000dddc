#include "console.h"

#include <string.h>

/* One word of a line: up to a space, or between double quotes. */
struct word {
	char *s;
	char *end; /* after its last character */
	char *rest;
	bool open; /* the closing quote is missing */
};

/* The values that have a command of their name, in the order in which they are shown. */
static const char *const values[] = {"device", "kind", "targets", "gateway", "identity", "secret"};

enum { KIND = 1, TARGETS = 2, VALUES = sizeof values / sizeof values[0] };

static void print(const struct lk_console *c, const char *text)
{
	c->port->print(c->port->ctx, text);
}

static void answer(const struct lk_console *c, const char *a, const char *b)
{
	print(c, a);
	print(c, b);
	print(c, "\r\n");
}

static void take(struct word *w, char *s)
{
	s += strspn(s, " ");
	w->s = s;
	w->open = *s == '"';
	if (!w->open) {
		w->end = w->rest = s + strcspn(s, " ");
		return;
	}
	w->s = ++s;
	/* A quote within a word does not close it: names of networks may hold one. */
	while (*s != '\0' && !(*s == '"' && (s[1] == ' ' || s[1] == '\0'))) {
		s++;
	}
	w->end = w->rest = s;
	if (*s != '\0') {
		w->rest++;
		w->open = false;
	}
}

/* The comparison cannot read beyond the end of name: no byte of a line equals its NUL. */
static bool is(const struct word *w, const char *name)
{
	for (const char *s = w->s; s < w->end; s++) {
		if ((*s | 0x20) != *name++) {
			return false;
		}
	}
	return *name == '\0';
}

/* Tells whether the next character of this line belongs to a secret. */
static bool hidden(struct lk_console *c)
{
	struct word w;
	take(&w, c->line);
	if (is(&w, "wifi")) {
		take(&w, w.rest);
	} else if (!is(&w, "secret")) {
		return false;
	}
	return *w.rest == ' ';
}

static void changed(const struct lk_console *c, int err)
{
	const char *missing = lk_settings_find_missing(&c->draft->settings);
	if (err < 0) {
		answer(c, "not valid; try help", "");
	} else if (missing != NULL) {
		answer(c, "set; still missing: ", missing);
	} else {
		answer(c, "set; then save", "");
	}
}

static void wrong_kind(const struct lk_console *c)
{
	print(c, "this firmware is a ");
	answer(c, c->draft->kind,
		c->n > 1 ? "'s; choose another with: role KIND" : "'s; flash the one of your kind");
}

static int set_wifi(const struct lk_console *c, char *rest)
{
	struct lk_settings *s = &c->draft->settings;
	char old[sizeof s->ssid];
	struct word ssid, password;
	take(&ssid, rest);
	take(&password, ssid.rest);
	if (ssid.s == ssid.end || ssid.open || password.open || *password.rest != '\0') {
		return -1;
	}
	*password.end = *ssid.end = '\0';
	memcpy(old, s->ssid, sizeof old);
	int err = lk_settings_set(s, "ssid", ssid.s);
	if (err == 0) {
		err = lk_settings_set(s, "password", password.s);
	}
	if (err < 0) {
		memcpy(s->ssid, old, sizeof old);
	}
	return err;
}

static void show(const struct lk_console *c)
{
	const struct lk_settings *s = &c->draft->settings;
	char gateway[LK_GATEWAY_TEXT];
	lk_settings_write_gateway(s, gateway);
	const char *const have[] = {
		s->device, s->kind, s->target, gateway, s->identity, s->secret[0] == '\0' ? "" : "set", s->ssid};
	for (size_t i = 0; i <= VALUES; i++) {
		const char *key = i < VALUES ? values[i] : "wifi";
		print(c, key);
		print(c, &"          "[strlen(key)]);
		answer(c, have[i][0] == '\0' ? "not set" : have[i],
			i < VALUES || s->password[0] == '\0' ? "" : ", password set");
	}
}

static void restart(const struct lk_console *c)
{
	answer(c, "restarting", "");
	c->port->restart(c->port->ctx);
}

/* Writes a draft; true if it is in flash. */
static bool store(const struct lk_console *c, const struct lk_draft *d)
{
	if (lk_settings_save(&d->settings, d->port) == 0) {
		return true;
	}
	answer(c, "flash failed; try again", "");
	return false;
}

static void save(const struct lk_console *c)
{
	const char *missing = lk_settings_find_missing(&c->draft->settings);
	if (missing != NULL) {
		answer(c, "missing: ", missing);
	} else if (!lk_settings_fits(&c->draft->settings, c->draft->kind)) {
		wrong_kind(c);
	} else if (store(c, c->draft)) {
		restart(c);
	}
}

static void erase(const struct lk_console *c, const char *rest)
{
	if (strcmp(rest, "yes") != 0) {
		answer(c, "to remove key and wifi: erase yes", "");
		return;
	}
	bool gone = true;
	for (size_t i = 0; i < c->n; i++) {
		lk_settings_wipe(&c->drafts[i]->settings);
		gone = store(c, c->drafts[i]) && gone;
	}
	if (gone) {
		restart(c);
	}
}

static void choose_role(struct lk_console *c, const char *kind)
{
	for (size_t i = 0; i < c->n; i++) {
		if (strcmp(kind, c->drafts[i]->kind) == 0) {
			c->draft = c->drafts[i];
			return;
		}
	}
	wrong_kind(c);
}

static void obey(struct lk_console *c)
{
	struct word w;
	while (c->len > 0 && c->line[c->len - 1] == ' ') {
		c->line[--c->len] = '\0';
	}
	take(&w, c->line);
	char *rest = w.rest + strspn(w.rest, " ");
	for (size_t i = 0; i < VALUES; i++) {
		if (is(&w, values[i]) || (i == TARGETS && is(&w, "target"))) {
			if (i == KIND && strcmp(rest, c->draft->kind) != 0) {
				/* What comes with it is another device's, and must not be saved as this one's. */
				(void)lk_settings_set(&c->draft->settings, "kind", "");
				wrong_kind(c);
			} else {
				changed(c, *rest == '\0' ? -1 : lk_settings_set(&c->draft->settings, values[i], rest));
			}
			return;
		}
	}
	if (is(&w, "wifi")) {
		changed(c, set_wifi(c, rest));
	} else if (is(&w, "show")) {
		show(c);
	} else if (is(&w, "save")) {
		save(c);
	} else if (is(&w, "erase")) {
		erase(c, rest);
	} else if (is(&w, "role")) {
		choose_role(c, rest);
	} else if (is(&w, "reboot")) {
		restart(c);
	} else if (is(&w, "help")) {
		if (c->n > 1) {
			answer(c, "first choose the device that the lines are for: role KIND", "");
		}
		answer(c, "paste what latchkey device add printed; then wifi SSID PASSWORD ",
			"(in \"\" if it has spaces) and save. Also: target NAME, show, erase, reboot");
	} else if (w.s != w.end && !is(&w, "this")) {
		/* "This secret is shown once" is the last line of what is pasted. */
		answer(c, "unknown; try help", "");
	}
}

void lk_console_init(
	struct lk_console *c, const struct lk_port *port, struct lk_draft *const *drafts, size_t n)
{
	memset(c, 0, sizeof *c);
	c->port = port;
	c->drafts = drafts;
	c->n = n;
	c->draft = drafts[0];
}

void lk_console_take_byte(struct lk_console *c, uint8_t b)
{
	bool second = b == '\n' && c->cr;
	c->cr = b == '\r';
	if (second) {
		return;
	}
	if (b == '\r' || b == '\n') {
		print(c, "\r\n");
		if (c->refused) {
			answer(c, "line refused: too long, or not text", "");
		} else {
			obey(c);
		}
		lk_wipe(c->line, sizeof c->line);
		c->len = 0;
		c->refused = false;
	} else if (c->refused) {
		return;
	} else if (b == '\b' || b == 0x7f) {
		if (c->len > 0) {
			c->line[--c->len] = '\0';
			print(c, "\b \b");
		}
	} else if ((b < ' ' && b != '\t') || c->len == LK_CONSOLE_LINE) {
		c->refused = true;
	} else {
		char text = b == '\t' ? ' ' : (char)b;
		const char echo[] = {hidden(c) ? '*' : text, '\0'};
		c->line[c->len++] = text;
		print(c, echo);
	}
}
