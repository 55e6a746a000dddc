/* Replaces core/app.h, so that the smoke test (smoke.c) runs in place of a node. */
#ifndef LK_APP_H
#define LK_APP_H

#include "port.h"

struct lk_app {
	const struct lk_port *port;
};

struct lk_role {
	const char *kind;
};

/* There is one part. The port only looks for the end of the list. */
struct lk_part {
	const void *unit;
	const struct lk_role *role;
};
extern const struct lk_part lk_image[];

void lk_app_init(struct lk_app *app, const struct lk_part *parts, const struct lk_port *ports);
void lk_app_step(struct lk_app *app);

#endif
