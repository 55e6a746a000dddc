/*
 * What a battery reader keeps in RTC memory while it sleeps: its scan counter and its DTLS
 * association, never an Echo. It is written after the last send and erased when it is read, before
 * anything of it is used: a state that is used twice repeats nonces.
 */
#ifndef LK_SLEEP_H
#define LK_SLEEP_H

#include "node.h"

struct lk_sleep {
	uint8_t rtc[LK_RTC_MAX];
};

/* Takes the association out of n and writes it and the counter to RTC memory. Without an
 * association, or if it has no room, only the counter is kept and the next wake does a
 * handshake. */
int lk_sleep_save(struct lk_sleep *s, struct lk_node *n);

/* Reads and erases RTC memory, restores the counter, and lets n go on with the association.
 * LK_ENONE if there was nothing usable. s must live until n has connected. */
int lk_sleep_load(struct lk_sleep *s, struct lk_node *n);

#endif
