/*
 * Random bytes fit for keys. The chip's generator is noise only while the radio runs, and raw even
 * then. So all goes through SHA-256, from a pool that begins with a seed in flash. The seed is
 * replaced before the pool is used: two boots never begin with the same pool.
 */
#ifndef LK_RANDOM_H
#define LK_RANDOM_H

#include "esp.h"

/* Fills in port's random. The seed is in the first node's flash. */
void lk_esp_random_init(struct lk_port *port);

#endif
