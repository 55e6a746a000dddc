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
	uint64_t reserved; /* as flash has it: those below are this boot's to use */
};

/* Starts where flash says. On an error, LK_EMALFORMED for a value that is no good, it starts at 1
 * and can be used: the gateway's first verdict tells how far it was. */
int lk_counter_load(struct lk_counter *c, const struct lk_port *port);

/* The counter of the next scan into *n. LK_EIO if it could not be reserved, LK_ERANGE if none is
 * left: no scan may go out then. */
int lk_counter_take_next(struct lk_counter *c, const struct lk_port *port, uint64_t *n);

/* Goes on after last, which a verdict carries, if that is further; it never goes back. LK_EIO if
 * flash could not be written: the next lk_counter_take_next tries again. LK_ERANGE if last is no
 * counter. */
int lk_counter_catch_up(struct lk_counter *c, const struct lk_port *port, uint64_t last);

/* Writes c for RTC memory, to go on within the block after deep sleep: LK_COUNTER_EXPORT or
 * LK_ESPACE. */
int lk_counter_export(const struct lk_counter *c, uint8_t *buf, size_t cap);

/* Takes what was exported, after lk_counter_load. LK_EMALFORMED if it does not belong to what flash
 * says: c is unchanged then, and skips the rest of the block. The caller sees to it that nothing is
 * imported twice. */
int lk_counter_import(struct lk_counter *c, const uint8_t *buf, size_t n);

#endif
