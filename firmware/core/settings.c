#include "settings.h"

#include <string.h>

#include "err.h"

/* In the order of the fields. No node can work without the first four. */
enum rule { IDENTITY, SECRET, GATEWAY, KIND, NAME, TARGETS, SSID, PASSWORD };

struct field {
	const char *key;
	enum rule rule;
	size_t at, size; /* in struct lk_settings */
};

/* The identity comes before the secret: setting one unsets the other. */
#define AT(member) offsetof(struct lk_settings, member), sizeof((struct lk_settings *)0)->member
static const struct field fields[LK_SETTINGS_KEYS] = {
	{"identity", IDENTITY, AT(identity)}, {"secret", SECRET, AT(secret)}, {"gateway", GATEWAY, AT(host)},
	{"kind", KIND, AT(kind)}, {"device", NAME, AT(device)}, {"targets", TARGETS, AT(target)},
	{"ssid", SSID, AT(ssid)}, {"password", PASSWORD, AT(password)},
};

void lk_wipe(void *p, size_t n)
{
	volatile uint8_t *b = p;
	while (n > 0) {
		b[--n] = 0;
	}
}

void lk_settings_wipe(struct lk_settings *s)
{
	lk_wipe(s, sizeof *s);
}

/* Sets of characters for strspn: labels of DNS; and, each the end of the one before, names, letters
 * and digits, Crockford's base32. */
static const char labels[] = "-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
static const char names[] = "._-ilou0123456789abcdefghjkmnpqrstvwxyz";
static const char *const plain = names + 3, *const base32 = names + 7;
static const char v6[] = ":.0123456789abcdefABCDEF";
static const char *const hex = v6 + 2;

/* The length of the name that s begins with, or 0. */
static size_t name(const char *s)
{
	return strspn(s, plain) > 0 ? strspn(s, names) : 0;
}

static bool valid(const struct field *f, const char *s)
{
	size_t n = strlen(s);
	if (n >= f->size) {
		return false;
	}
	switch (f->rule) {
	case IDENTITY:
	case SECRET:
		if (n != f->size - 1 || (f->rule == IDENTITY && strncmp(s, "lk-", 3) != 0)) {
			return false;
		}
		s += f->rule == IDENTITY ? 3 : 0;
		return s[strspn(s, base32)] == '\0';
	case KIND:
	case NAME:
		return name(s) == n;
	default:
		for (size_t i = 0; i < n; i++) {
			uint8_t c = (uint8_t)s[i];
			if (c < ' ' || c == 0x7f || (c > 0x7f && f->rule == PASSWORD)) {
				return false;
			}
		}
		return f->rule == SSID || (n >= 8 && (n < 64 || strspn(s, hex) == n));
	}
}

/* Returns the length of the DNS name or IPv4 address with which s begins, or 0. */
static size_t dns(const char *s)
{
	size_t all = 0, n;
	while ((n = strspn(s + all, labels)) > 0) {
		if (s[all] == '-' || s[all + n - 1] == '-') {
			return 0;
		}
		all += n;
		if (s[all] != '.') {
			break;
		}
		all++;
	}
	return all;
}

/* Clear the rest as well: the old value may have been a longer secret. */
static void copy(char *to, size_t size, const char *from, size_t n)
{
	lk_wipe(to, size);
	memcpy(to, from, n);
}

static int set_gateway(struct lk_settings *s, const char *value)
{
	bool bracket = *value == '[';
	value += bracket;
	size_t n = dns(value), all = strspn(value, v6);
	const char *p = value, *colon = strchr(value, ':');
	uint32_t port = 0;
	if (bracket && colon != NULL && colon < value + all) {
		n = all;
	}
	if (n == 0 || n >= sizeof s->host || (bracket && value[n] != ']')) {
		return LK_EMALFORMED;
	}
	p += n + bracket;
	if (*p == '\0') {
		port = LK_COAPS_PORT;
	} else if (*p == ':' && *++p != '0') {
		while (*p >= '0' && *p <= '9' && port <= UINT16_MAX) {
			port = port * 10 + (uint32_t)(*p++ - '0');
		}
	}
	if (*p != '\0' || port == 0 || port > UINT16_MAX) {
		return LK_EMALFORMED;
	}
	copy(s->host, sizeof s->host, value, n);
	s->port = (uint16_t)port;
	return 0;
}

/* Keeps the first of the names; a node has no use for the others. */
static int set_targets(struct lk_settings *s, const char *value)
{
	size_t n = name(value);
	if (n == 0 || n >= sizeof s->target || (value[n] != '\0' && value[n] != ',')) {
		return LK_EMALFORMED;
	}
	copy(s->target, sizeof s->target, value, n);
	return 0;
}

static int set(struct lk_settings *s, const struct field *f, const char *value)
{
	char *to = (char *)s + f->at;
	if (*value == '\0') {
		s->port = f->rule == GATEWAY ? 0 : s->port;
	} else if (f->rule == GATEWAY) {
		return set_gateway(s, value);
	} else if (f->rule == TARGETS) {
		return set_targets(s, value);
	} else if (!valid(f, value)) {
		return LK_EMALFORMED;
	}
	if (f->rule == IDENTITY && strcmp(to, value) != 0) {
		lk_wipe(s->secret, sizeof s->secret);
	}
	copy(to, f->size, value, strlen(value));
	return 0;
}

int lk_settings_set(struct lk_settings *s, const char *key, const char *value)
{
	for (const struct field *f = fields; f < fields + LK_SETTINGS_KEYS; f++) {
		if (strcmp(f->key, key) == 0) {
			return set(s, f, value);
		}
	}
	return LK_ENONE;
}

const char *lk_settings_find_missing(const struct lk_settings *s)
{
	for (const struct field *f = fields; f < fields + LK_SETTINGS_KEYS; f++) {
		bool needed = f->rule <= KIND || (f->rule == TARGETS && strcmp(s->kind, "switch") == 0);
		if (needed && *((const char *)s + f->at) == '\0') {
			return f->key;
		}
	}
	return NULL;
}

bool lk_settings_fits(const struct lk_settings *s, const char *role)
{
	return strcmp(s->kind, role) == 0;
}

int lk_settings_load(struct lk_settings *s, const struct lk_port *port)
{
	char value[LK_TARGETS_MAX + 1];
	int err = 0;
	memset(s, 0, sizeof *s);
	for (const struct field *f = fields; f < fields + LK_SETTINGS_KEYS; f++) {
		int n = port->kv_get(port->own, f->key, (uint8_t *)value, sizeof value - 1);
		if (n == LK_EIO) {
			err = LK_EIO;
			continue;
		}
		if (n >= 0) {
			value[n] = '\0';
		}
		if (n < 0 || strlen(value) + 1 < (size_t)n || set(s, f, value) < 0) {
			s->bad = s->bad == NULL ? f->key : s->bad;
		}
	}
	lk_wipe(value, sizeof value);
	if (err == 0 && s->bad != NULL) {
		err = LK_EMALFORMED;
	}
	return err == 0 && lk_settings_find_missing(s) != NULL ? LK_ENONE : err;
}

char *lk_write_number(char *to, uint16_t v)
{
	for (uint16_t unit = 10000; unit > 0; unit /= 10) {
		if (v >= unit || unit == 1) {
			*to++ = (char)('0' + v / unit % 10);
		}
	}
	return to;
}

void lk_settings_write_gateway(const struct lk_settings *s, char buf[LK_GATEWAY_TEXT])
{
	size_t n = strlen(s->host);
	bool bracket = strchr(s->host, ':') != NULL;
	if (n > 0) {
		*buf = '[';
		buf += bracket;
		memcpy(buf, s->host, n);
		buf += n;
		*buf = ']';
		buf += bracket;
		*buf++ = ':';
		buf = lk_write_number(buf, s->port);
	}
	*buf = '\0';
}

static int put(const struct lk_port *port, const struct field *f, const char *text)
{
	return port->kv_set(port->own, f->key, (const uint8_t *)text, strlen(text)) < 0 ? LK_EIO : 0;
}

int lk_settings_save(const struct lk_settings *s, const struct lk_port *port)
{
	const struct field *secret = fields + SECRET;
	char gateway[LK_GATEWAY_TEXT];
	int err = put(port, secret, "");
	lk_settings_write_gateway(s, gateway);
	for (const struct field *f = fields; err == 0 && f < fields + LK_SETTINGS_KEYS; f++) {
		if (f != secret) {
			err = put(port, f, f->rule == GATEWAY ? gateway : (const char *)s + f->at);
		}
	}
	return err == 0 ? put(port, secret, s->secret) : err;
}

int lk_settings_seed(struct lk_settings *s, const struct lk_bundle *b)
{
	int err = 0;
	if (s->identity[0] != '\0' || s->secret[0] != '\0' || s->host[0] != '\0') {
		return LK_ENONE;
	}
	s->bad = NULL;
	for (size_t i = 0; i < LK_SETTINGS_KEYS && err == 0; i++) {
		if (fields[i].rule < SSID || *b->values[SSID] != '\0') {
			err = set(s, fields + i, b->values[i]);
		}
	}
	if (err < 0 || lk_settings_find_missing(s) != NULL) {
		lk_settings_wipe(s);
		return LK_EMALFORMED;
	}
	return 0;
}
