/* The smoke test in place of a node: firmware/test/qemu/smoke.c. */
#ifndef LK_APP_H
#define LK_APP_H

#include "port.h"

struct lk_app {
	const struct lk_port *port;
};

struct lk_role {
	const char *kind;
};

/* There is one part, and only its end is looked at. */
struct lk_part {
	const void *unit;
	const struct lk_role *role;
};
extern const struct lk_part lk_image[];

void lk_app_init(struct lk_app *app, const struct lk_part *parts, const struct lk_port *ports);
void lk_app_step(struct lk_app *app);

#endif
