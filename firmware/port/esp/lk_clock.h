/* The clock, and why the board started. */
#ifndef LK_CLOCK_H
#define LK_CLOCK_H

#include "esp.h"

/* As now of port.h. */
uint32_t lk_esp_now(void *ctx);

/* Fills in port's now and boot. */
void lk_esp_clock_init(struct lk_port *port);

#endif
