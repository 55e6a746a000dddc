/*
 * An image of one unit. Before including it, define IMAGE as the role's struct, ROLE as the role,
 * and SEED as the built-in key or NULL. Include it once in a program.
 */
#ifndef LK_TEST_IMAGE_H
#define LK_TEST_IMAGE_H

#include "app.h"

static IMAGE mine;
static struct lk_unit *const unit = (struct lk_unit *)&mine;
static struct lk_app app;

/* Starts the image as a board's main does after a reset. */
static inline void start_image(const struct lk_port *port)
{
	static const struct lk_part parts[] = {{(struct lk_unit *)&mine, &ROLE, SEED}, {NULL, NULL, NULL}};

	memset(&mine, 0, sizeof mine);
	memset(&app, 0xa5, sizeof app); /* memory as a stack may leave it */
	lk_app_init(&app, parts, port);
}

#endif
