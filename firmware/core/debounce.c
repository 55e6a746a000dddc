#include "debounce.h"

enum { STILL = 30 }; /* ms a contact must be still */

void lk_debounce_begin(struct lk_debounce *d, bool raw) { d->now = d->raw = raw; }

bool lk_debounce_update(struct lk_debounce *d, bool raw, uint32_t now)
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
