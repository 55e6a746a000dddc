/*
 * The newest command that an actuator obeyed, with its epoch, in RTC memory: it outlives a reset,
 * but not the power, and no flash wears out. With it the gateway notices that its store was put back
 * to an older state. It moves nothing.
 */
#ifndef LK_OBEYED_H
#define LK_OBEYED_H

#include "port.h"

struct lk_obeyed {
	uint64_t id;    /* 0: none */
	uint32_t epoch; /* 1 or more */
};

/* Reads what RTC memory holds, or none. */
void lk_obeyed_load(struct lk_obeyed *o, const struct lk_port *port);

/* Notes a command, if it is newer. */
void lk_obeyed_note(struct lk_obeyed *o, const struct lk_port *port, uint64_t id, uint32_t epoch);

#endif
