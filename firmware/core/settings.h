/*
 * The settings with which a node finds its WiFi and its gateway and proves who it is. Flash holds
 * them by key, as text without a closing NUL (one is removed when it is read): identity, secret,
 * gateway ("host:port", IPv6 in brackets), kind, device, targets (by commas), ssid, password.
 * Except for the last two these are the keys of `latchkey device add --format nvs-csv`, so a
 * partition made from that can be used unchanged.
 */
#ifndef LK_SETTINGS_H
#define LK_SETTINGS_H

#include "port.h"

enum {
	LK_SETTINGS_KEYS = 8,
	LK_COAPS_PORT = 5684, /* where a gateway listens unless told otherwise (RFC 7252 §6.2) */
	LK_TARGETS_MAX = 415, /* characters of all targets together, as flash holds them */
	LK_GATEWAY_TEXT = 72, /* "[" host "]:65535" and its NUL */
};

/* Each text is empty when it is not set, and valid otherwise. */
struct lk_settings {
	char identity[14]; /* lk- and 10 characters; the PSK identity as it stands */
	char secret[27];   /* 26 characters; these bytes are the PSK */
	char host[64];     /* the gateway's name or address, IPv6 without brackets */
	uint16_t port;     /* 0 while host is empty */
	char kind[8];      /* reader, switch, lock, lamp … */
	char device[65];   /* the name by which the gateway knows the node */
	char target[65];   /* the first of targets: what a switch asks for */
	char ssid[33];     /* bytes of any character set but control characters */
	char password[65]; /* empty: an open network */
	const char *bad;   /* the key whose stored value was invalid, or NULL */
};

/* What `latchkey device add --format c-header` wrote, for an image that is built with its key. */
struct lk_bundle {
	const char *values[LK_SETTINGS_KEYS]; /* by the keys above, in that order */
};

/* Initialiser of a struct lk_bundle from the definitions of that header. WiFi is not among them:
 * both "" leave it to the console. */
#define LK_BUNDLE(ssid, password) \
	{{LK_IDENTITY, LK_SECRET, LK_GATEWAY, LK_KIND, LK_DEVICE, LK_TARGETS, ssid, password}}

/*
 * Reads the settings. Returns 0 when the node can work with them; LK_ENONE when something is
 * missing (lk_settings_find_missing tells what); LK_EMALFORMED when a stored value is invalid, with
 * its key in s->bad; LK_EIO when flash cannot be read. In each case s holds all valid values, so
 * that a console can add the others.
 */
int lk_settings_load(struct lk_settings *s, const struct lk_port *port);

/* Writes s. A power cut or an error leaves the old settings, the new ones, or ones without a
 * secret, never those of two keys. Writing wiped settings removes all of them, the secret first;
 * what else is in flash, as the scan counter, stays. */
int lk_settings_save(const struct lk_settings *s, const struct lk_port *port);

/* Sets one value by its key; an empty one unsets it. LK_EMALFORMED if it breaks that key's rules,
 * LK_ENONE if there is no such key: s is unchanged then. A gateway may lack its port. A new
 * identity unsets the secret, which was another key's. */
int lk_settings_set(struct lk_settings *s, const char *key, const char *value);

/* Fills s from a bundle if load found no identity, no secret and no gateway; LK_ENONE and s
 * unchanged if it found one of them, LK_EMALFORMED if the bundle is invalid: s is then empty. */
int lk_settings_seed(struct lk_settings *s, const struct lk_bundle *b);

/* Writes "host:port", or nothing if there is none, with a NUL. */
void lk_settings_write_gateway(const struct lk_settings *s, char buf[LK_GATEWAY_TEXT]);

/* Writes v in decimal, at most 5 characters and no NUL, and returns where it ends. */
char *lk_write_number(char *to, uint16_t v);

/* Returns the key of the first setting that is missing and required, or NULL. WiFi is not
 * required: a board may have none. */
const char *lk_settings_find_missing(const struct lk_settings *s);

/* Tells whether these are settings for an image of that role. */
bool lk_settings_fits(const struct lk_settings *s, const char *role);

void lk_settings_wipe(struct lk_settings *s);

/* Zeroes memory that held a secret, in a way that the compiler does not optimise away. */
void lk_wipe(void *p, size_t n);

#endif
