/* A contact that bounces: a change counts when the contact has been still for a moment. */
#ifndef LK_DEBOUNCE_H
#define LK_DEBOUNCE_H

#include <stdbool.h>
#include <stdint.h>

struct lk_debounce {
	bool now, raw;
	uint32_t since; /* when raw changed */
};

/* Takes the state of the contact, without waiting for it to be still. */
void lk_debounce_begin(struct lk_debounce *d, bool raw);

/* Takes the state of the contact; true when it has changed for good. */
bool lk_debounce_update(struct lk_debounce *d, bool raw, uint32_t now);

#endif
