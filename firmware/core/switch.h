/* The role of a switch: its button asks the gateway to toggle a lamp. */
#ifndef LK_SWITCH_H
#define LK_SWITCH_H

#include "debounce.h"
#include "unit.h"

struct lk_switch {
	struct lk_unit unit;
	struct lk_debounce button;
};

extern const struct lk_role lk_role_switch;

#endif
