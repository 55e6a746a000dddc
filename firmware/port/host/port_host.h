/*
 * A board on Linux: sockets, files in the current directory, and a world at stdin
 * (port/world/world.h). One per process.
 *
 * stdout has one line for each thing that a board does; the number in front is QEMU's count of
 * instructions, 0 here:
 *
 *	0 log TEXT NUMBER     0 log NAME: TEXT NUMBER of a second node
 *	0 output LEVEL MS     by command, or 0 0 by the board's own timer
 *	0 led 0|1             only if asked for
 *	0 sleep MS            and the process exits with 0
 *	0 reset restart       and the process exits with 3
 *	0 reset watchdog      and the process exits with 4
 *	0 stat heap=H peak=P stack=0 allocs=A
 *
 * Everything else there is what the console prints. When stdin ends the process exits with 0. Flash
 * is kv/KEY, RTC memory is rtc.bin, and boot says why the next process starts. A process that was
 * killed leaves none, so the next one starts as from power.
 */
#ifndef LK_PORT_HOST_H
#define LK_PORT_HOST_H

#include "port.h"

/* Starts the board: its watchdog runs from here on. boot is "power", "reset", "watchdog" or "wake";
 * NULL: as the file says. port is for the first node. */
int lk_host_start(struct lk_port *port, const char *boot, bool show_led);

/* Makes port, a copy of the first one, that of one more node: with a socket of its own, flash in
 * kv/NAME-KEY, and NAME before each line of its log. Only LK_MOST_NODES are there. */
void lk_host_add_node(struct lk_port *port, const char *name);

#endif
