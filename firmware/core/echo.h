/*
 * Freshness: DTLS does not stop somebody who holds a datagram back and lets it go later, so what
 * opens a door carries an Echo (RFC 9175) and its age. The rule is the same as in coapres/echo.go,
 * and is held to the same vectors.
 *
 * Times are the board's uint32 milliseconds, which wrap after 49 days. Whatever is kept here is
 * dropped when it is ten minutes old, by the functions themselves and by the two that are called
 * lk_…_expire: the node's loop calls those, in each round or at least once a day, so that nothing
 * is still there when the clock comes round and would make it look new. A node whose clock stopped
 * must forget (lk_echoes_reset, lk_held_forget).
 *
 * A board's clock may move in steps of up to LK_CLOCK_STEP ms. A difference of two of its readings
 * is therefore off by up to one step, either way, and one step is given away so that doubt always
 * makes a message older: it is added to the time since an Echo was issued, and taken from an age.
 * This also keeps an age from looking like an intent that is still to come.
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
	LK_SCAN_WINDOW = 3000,    /* scans, and what a switch asks */
	LK_COMMAND_WINDOW = 1500, /* commands */
};

enum lk_freshness {
	LK_STALE = 0, /* not provably recent: 4.01 and a new Echo */
	LK_FRESH,     /* the intent is no older than the window */
	LK_BAD_AGE,   /* an age that no sender may claim: 4.00 */
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

/* Makes an Echo of eight random bytes, stamped with now: the moment before the message that carries
 * it is sent. */
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

/* Returns the length of the Echo to send, which is h->echo, and with it the age to claim for that
 * intent, negative when the intent came first; an age that is too old to be fresh stands for every
 * older intent. Without a usable Echo both are 0: the message is sent bare, and the answer brings
 * an Echo. */
int lk_held_find_age(struct lk_held *h, uint32_t intent, uint32_t now, int32_t *age);

#endif
