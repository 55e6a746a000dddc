/* An ESP32 DevKit as a struct lk_port. Not run on a board yet. */
#ifndef LK_PORT_ESP32_H
#define LK_PORT_ESP32_H

#include "port.h"

/* Switches the output off first of all, then sets the board up. The board is one, so this is called once. */
void lk_port_esp32_init(struct lk_port *port);

#endif
