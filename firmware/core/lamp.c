#include "lamp.h"

#include "act.h"

static struct lk_actuator *init(struct lk_unit *u)
{
	struct lk_actuator *a = &((struct lk_lamp *)u)->actuator;

	lk_actuator_init(a, u->port, true);
	return a;
}

static uint32_t step(struct lk_unit *u, uint32_t now)
{
	return lk_actuator_poll(&((struct lk_lamp *)u)->actuator, now);
}

const struct lk_role lk_role_lamp = {
	LK_ROLE_TEXTS("lamp"),
	.serves = &lk_act,
	.init = init,
	.step = step,
};
