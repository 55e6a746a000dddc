/* The role of a lock: the relay of a door, its exit button and its contact. */
#ifndef LK_LOCK_H
#define LK_LOCK_H

#include "debounce.h"
#include "unit.h"

struct lk_lock {
	struct lk_unit unit;
	struct lk_actuator actuator;
	struct lk_debounce button, contact;
};

extern const struct lk_role lk_role_lock;

#endif
