/*
 * Writes a report: a SenML pack (RFC 8428) in CBOR (Content-Format 112) of at most 16 records, in
 * the deterministic encoding that coapres/wire gives the same report. Names and units are the
 * program's own and are not checked: 1 to 64 of A–Z a–z 0–9 - : . / _, the first a letter or digit,
 * and never "age".
 */
#ifndef LK_SENML_H
#define LK_SENML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cbor.h"

enum { LK_SENML_RECORDS = 16, LK_SENML_TEXT = 64 };

struct lk_senml {
	struct lk_cbor out;
	uint8_t records;
};

/* Begins a report in buf, with the age of its readings in ms (see echo.h) unless that is 0. */
void lk_senml_begin(struct lk_senml *w, uint8_t *buf, size_t cap, int32_t age);

/* unit may be NULL. */
void lk_senml_add_number(struct lk_senml *w, const char *name, const char *unit, int32_t value);
void lk_senml_add_flag(struct lk_senml *w, const char *name, bool value);
/* text is at most LK_SENML_TEXT bytes of UTF-8. */
void lk_senml_add_text(struct lk_senml *w, const char *name, const char *text);

/* Returns the length of the report, LK_ESPACE when it did not fit, or LK_ERANGE: it had no record,
 * too many, or a text too long. */
int lk_senml_end(struct lk_senml *w);

#endif
