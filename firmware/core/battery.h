/* The role of a reader on a battery: it sleeps between taps. */
#ifndef LK_BATTERY_H
#define LK_BATTERY_H

#include "reader.h"
#include "sleep.h"

struct lk_battery_reader {
	struct lk_reader reader;
	struct lk_sleep sleep;
	uint32_t began; /* when the program started */
	uint32_t awake; /* until when it waits for a card */
};

extern const struct lk_role lk_role_battery_reader;

#endif
