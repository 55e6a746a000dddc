/* The serial line: the console and the log. */
#ifndef LK_SERIAL_H
#define LK_SERIAL_H

#include "esp.h"

/* Tells whether something has come by the serial line. */
bool lk_esp_typed(void);

/* Opens the serial line, and fills in port's console_read, print and log. */
void lk_esp_serial_init(struct lk_port *port);

#endif
