/*
 * The scan counter: 1…2^53−1, grows only, never repeats. Flash holds the first counter that is not
 * reserved yet and is written once in 64 scans, so a power cut skips at most 64.
 */
#ifndef LK_COUNTER_H
#define LK_COUNTER_H

#include "port.h"
#include "wire.h"

enum {
	LK_COUNTER_BLOCK = 64,
	LK_COUNTER_EXPORT = 16, /* bytes of an exported counter */
};

struct lk_counter {
	uint64_t next;     /* the counter of the next scan */
	uint64_t reserved; /* as in flash: this boot may use those below */
};

/* Starts at the counter in flash. On an error (LK_EMALFORMED: an invalid value) it starts at 1
 * and can be used: the gateway's first verdict gives the last counter. */
int lk_counter_load(struct lk_counter *c, const struct lk_port *port);

/* Stores the counter of the next scan in *n. LK_EIO: it could not be reserved. LK_ERANGE: none
 * is left. After an error no scan may be sent. */
int lk_counter_take_next(struct lk_counter *c, const struct lk_port *port, uint64_t *n);

/* Moves on to the counter after last, which a verdict carries. It never moves back. LK_EIO:
 * flash could not be written, and the next lk_counter_take_next tries again. LK_ERANGE: last is
 * not a counter. */
int lk_counter_catch_up(struct lk_counter *c, const struct lk_port *port, uint64_t last);

/* Writes c for RTC memory, to go on within the block after deep sleep: LK_COUNTER_EXPORT or
 * LK_ESPACE. */
int lk_counter_export(const struct lk_counter *c, uint8_t *buf, size_t cap);

/* Imports an exported counter, after lk_counter_load. LK_EMALFORMED: it does not fit the counter
 * in flash; then c is unchanged and skips the rest of the block. The caller must never import
 * twice. */
int lk_counter_import(struct lk_counter *c, const uint8_t *buf, size_t n);

#endif
