/*
 * An image of one unit. Before it is included, IMAGE is the role's struct, ROLE its name, and SEED
 * the key that is built in, or NULL. To be included once in a program.
 */
#ifndef LK_TEST_IMAGE_H
#define LK_TEST_IMAGE_H

#include "app.h"

static IMAGE mine;
static struct lk_unit *const unit = (struct lk_unit *)&mine;
static struct lk_app app;

/* Starts it, as a board's main does after a reset. */
static inline void start_image(const struct lk_port *port)
{
	static const struct lk_part parts[] = {{(struct lk_unit *)&mine, &ROLE, SEED}, {NULL, NULL, NULL}};

	memset(&mine, 0, sizeof mine);
	memset(&app, 0xa5, sizeof app); /* what a stack may hold */
	lk_app_init(&app, parts, port);
}

#endif
