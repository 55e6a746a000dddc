/*
 * Freshness: DTLS does not stop somebody who holds back a datagram and delivers it later. So every
 * message that opens a door carries an Echo (RFC 9175) and an age. The rule is the same as in
 * coapres/echo.go and is tested with the same vectors.
 *
 * Times are the board's uint32 milliseconds, which wrap after 49 days. Echoes are dropped when they
 * are ten minutes old, by the functions themselves and by the two functions lk_…_expire. The node's
 * loop calls these in each round, or at least once a day. Otherwise an old Echo would look new when
 * the clock wraps. A node whose clock stopped must forget (lk_echoes_reset, lk_held_forget).
 *
 * A board's clock may move in steps of up to LK_CLOCK_STEP ms. So a difference of two readings may
 * be wrong by one step in either direction. The functions correct by one step so that doubt always
 * makes a message older: they add it to the time since an Echo was issued, and subtract it from an
 * age. This also prevents an age that looks like an intent in the future.
 */
#ifndef LK_ECHO_H
#define LK_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LK_ECHO_LEN = 8,       /* bytes of the Echoes we issue */
	LK_ECHO_MAX = 40,      /* bytes of those that others issue (RFC 9175 §2.2.1) */
	LK_ECHO_KEEP = 4,      /* Echoes that an association remembers */
	LK_ECHO_LIFE = 600000, /* ms; an older Echo is stale */
	LK_CLOCK_STEP = 10,    /* ms */

	/* How long after the intent a message may still be obeyed. */
	LK_SCAN_WINDOW = 3000,    /* scans and a switch's requests */
	LK_COMMAND_WINDOW = 1500, /* commands */
};

enum lk_freshness {
	LK_STALE = 0, /* not provably recent: 4.01 and a new Echo */
	LK_FRESH,     /* the intent is no older than the window */
	LK_BAD_AGE,   /* an impossible age: 4.00 */
};

/* The whole arithmetic of freshness, in ms: elapsed since the Echo was issued, by the issuer's
 * clock; age from receiving it to the intent, by the sender's; window the oldest intent that is
 * still obeyed. */
enum lk_freshness lk_echo_judge(int32_t elapsed, int32_t age, int32_t window);

/* The Echoes that one association has issued and still knows, in memory only. All zero is ready for
 * use. */
struct lk_echoes {
	struct {
		uint32_t at;
		uint8_t echo[LK_ECHO_LEN];
		bool used;
	} issued[LK_ECHO_KEEP];
	uint8_t next;
};

void lk_echoes_reset(struct lk_echoes *x);
void lk_echoes_expire(struct lk_echoes *x, uint32_t now);

/* Makes an Echo of eight random bytes, stamped with now: the time just before its message is
 * sent. */
void lk_echoes_issue(
	struct lk_echoes *x, uint32_t now, const uint8_t random[LK_ECHO_LEN], uint8_t out[LK_ECHO_LEN]);

/* Judges a message with that Echo (len 0: none) and age; now is when its datagram was read. */
enum lk_freshness lk_echoes_check(
	struct lk_echoes *x, const uint8_t *echo, size_t len, int32_t age, int32_t window, uint32_t now);

/* The newest Echo that the other side has given us. All zero holds none. */
struct lk_held {
	uint32_t at; /* when it was received */
	uint8_t echo[LK_ECHO_MAX];
	uint8_t len;
};

/* Keeps an Echo that was received now. An empty one, or one longer than LK_ECHO_MAX, is ignored. */
void lk_held_take(struct lk_held *h, const uint8_t *echo, size_t len, uint32_t now);
void lk_held_forget(struct lk_held *h);
void lk_held_expire(struct lk_held *h, uint32_t now);

/* Returns the length of the Echo to send, which is h->echo, and in *age the age of that intent,
 * negative if the intent came first. For a very old intent it is some age that is too old to be
 * fresh. Without a usable Echo both are 0: then the message is sent without an Echo, and the
 * answer brings one. */
int lk_held_find_age(struct lk_held *h, uint32_t intent, uint32_t now, int32_t *age);

#endif
