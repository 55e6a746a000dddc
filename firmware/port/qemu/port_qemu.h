/* A board in QEMU as a struct lk_port. There is one in a program. */
#ifndef LK_PORT_QEMU_H
#define LK_PORT_QEMU_H

#include "port.h"

struct lk_qemu_options {
	enum lk_boot boot;
	int sockets; /* how many are there, from descriptor 3 on */
	int clock;   /* a timerfd that expires each millisecond, or -1: there is none */
	bool verbose;
};

/* Starts the board: its timer and its count of instructions run from here on. port is for the first
 * node. */
void lk_qemu_start(struct lk_port *port, const struct lk_qemu_options *o);

#endif
