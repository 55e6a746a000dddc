/* A NodeMCU, or another ESP8266 board, as a struct lk_port. Not run on a board yet. */
#ifndef LK_PORT_ESP8266_H
#define LK_PORT_ESP8266_H

#include "port.h"

/* Switches the output off first of all, then sets the board up. The board is one, so this is called once. */
void lk_port_esp8266_init(struct lk_port *port);

#endif
