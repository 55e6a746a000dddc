/* A board, from the parts that both chips share and the chip's own. */
#ifndef LK_BOARD_H
#define LK_BOARD_H

#include "esp.h"

/* Joins the shared parts: opens flash and the serial line, sets up the pins, and fills in their
 * members of port, which is the first node's. e is all zero. */
void lk_esp_init(struct lk_esp *e, struct lk_port *port, const struct lk_esp_pins *pins);

/* Makes port, a copy of the first one, that of one more node: with a socket and a namespace of
 * flash of its own, and name before each line of its log. Only LK_MOST_NODES are there. */
void lk_esp_add_node(struct lk_port *port, const char *name);

/* The chip's own: switches the output off first of all, then sets the board up. The board is one,
 * so this is called once. */
void lk_board_init(struct lk_port *port);

#endif
