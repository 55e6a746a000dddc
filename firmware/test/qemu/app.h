/* The smoke test in place of a node: firmware/test/qemu/smoke.c. */
#ifndef LK_APP_H
#define LK_APP_H

#include "port.h"

struct lk_app {
	const struct lk_port *port;
};

void lk_app_init(struct lk_app *app, const struct lk_port *port);
void lk_app_step(struct lk_app *app);

#endif
