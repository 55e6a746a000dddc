/* The role of a lamp, at a relay or dimmed. */
#ifndef LK_LAMP_H
#define LK_LAMP_H

#include "unit.h"

struct lk_lamp {
	struct lk_unit unit;
	struct lk_actuator actuator;
};

extern const struct lk_role lk_role_lamp;

#endif
