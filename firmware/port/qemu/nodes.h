/*
 * What belongs to each node on the board: its socket, its flash and its log. The program that
 * starts QEMU leaves sockets open; a node takes the next one each time it opens one.
 */
#ifndef LK_NODES_H
#define LK_NODES_H

#include "port.h"

/* There are that many sockets, from descriptor 3 on. */
void nodes_init(int sockets);

/* Makes port that of one more node: the first, or of that name, with flash in kv/NAME-KEY, and NAME
 * before each line of its log. Only LK_MOST_NODES are there. */
void nodes_add(struct lk_port *port, const char *name);

/* Waits for ms, or until a socket can be read; while none is open, stdin. True if one can. */
bool nodes_wait(uint32_t ms);
/* Tells whether a node has a socket. */
bool nodes_open(void);
/* Gives each node with a socket another one. */
void nodes_rebind(void);

#endif
