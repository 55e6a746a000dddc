/*
 * Where the gateway is, when its settings give a name. A round tries the address that worked last,
 * then those that the name leads to. Nobody is believed: an address is right when the handshake
 * there proves the key. One where it does not is tried last from then on. An address costs
 * LK_FINDER_TRY at most, a round tries LK_FINDER_FOUND of the name, and there is at most one
 * question a second, none while there is a session. A host that is an address is simply used.
 *
 * Flash holds the last address under "found": 4 bytes, and the name that it is for.
 */
#ifndef LK_FINDER_H
#define LK_FINDER_H

#include "dns.h"
#include "link.h"

enum {
	LK_FINDER_FOUND = 4,   /* addresses of a name that are tried in a round */
	LK_FINDER_REFUSED = 8, /* addresses that are remembered to be somebody else's */
	LK_FINDER_TRY = 2000,  /* ms for the handshake at one of them */
	LK_FINDER_TEXT = 16,   /* an address as text, and its NUL */
};

enum lk_finder_phase { LK_FINDER_LAST, LK_FINDER_ASK, LK_FINDER_LISTEN, LK_FINDER_TRYING };

struct lk_finder {
	enum lk_finder_phase phase;
	uint32_t asked_at;  /* when the newest question was sent */
	uint32_t last;      /* where the gateway was last, 0: not known */
	uint32_t trying;    /* the address that was given out, 0: the host itself */
	uint32_t found[LK_FINDER_FOUND]; /* not tried yet in this round; 0: none */
	uint32_t refused[LK_FINDER_REFUSED];
	uint8_t refusals;   /* counts them */
	uint8_t writes;     /* to flash in this boot */
	uint8_t question_n;
	uint8_t question[LK_DNS_QUESTION];
	char text[LK_FINDER_TEXT]; /* trying as text */
};

/* Makes f, which is all zero, a finder that knows what flash holds for the link's settings. */
void lk_finder_init(struct lk_finder *f, const struct lk_link *l);

/* Finds the host to open next, in *host: an address, or the host of the settings where that is one
 * or the board looks it up itself. LK_EAGAIN while answers are awaited, to be called again in
 * *due ms, or earlier when a datagram comes; another error when no address is left in this round,
 * and the next call begins another. It uses the node's socket and l->in. */
int lk_finder_step(struct lk_finder *f, struct lk_link *l, const char **host, uint32_t *due);

/* The address did not prove the key. Returns whether another is left in this round. */
bool lk_finder_refuse(struct lk_finder *f);

/* The address proved the key: the next round begins with it. */
void lk_finder_keep(struct lk_finder *f, const struct lk_link *l);

/* Returns the ms that the handshake at this address has, when it began gone ms ago. */
static inline uint32_t lk_finder_left(const struct lk_finder *f, uint32_t gone)
{
	if (f->trying == 0)
		return UINT32_MAX;
	return gone < LK_FINDER_TRY ? LK_FINDER_TRY - gone : 0;
}

#endif
