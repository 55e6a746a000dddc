#include "senml.h"

#include <string.h>

#include "err.h"

/* Labels of RFC 8428 §6. */
enum { NAME = 0, UNIT = 1, VALUE = 2, TEXT = 3, FLAG = 4 };

static void put_text(struct lk_senml *w, uint8_t label, const char *s)
{
	size_t n = strlen(s);
	lk_cbor_put_byte(&w->out, label);
	lk_cbor_put_head(&w->out, LK_CBOR_TEXT, n);
	lk_cbor_put_bytes(&w->out, s, n);
	if (n > LK_SENML_TEXT)
		w->out.len = LK_ERANGE;
}

static void begin_record(struct lk_senml *w, uint8_t pairs, const char *name)
{
	if (w->records == LK_SENML_RECORDS)
		w->out.len = LK_ERANGE;
	else
		w->records++;
	lk_cbor_put_byte(&w->out, (uint8_t)(LK_CBOR_MAP + pairs));
	put_text(w, NAME, name);
}

void lk_senml_begin(struct lk_senml *w, uint8_t *buf, size_t cap, int32_t age)
{
	w->out = (struct lk_cbor){buf, cap, 0};
	w->records = 0;
	lk_cbor_put_byte(&w->out, LK_CBOR_ARRAY); /* its length is known at the end */
	if (age != 0)
		lk_senml_add_number(w, "age", "ms", age);
}

void lk_senml_add_number(struct lk_senml *w, const char *name, const char *unit, int32_t value)
{
	begin_record(w, unit == NULL ? 2 : 3, name);
	if (unit != NULL)
		put_text(w, UNIT, unit);
	lk_cbor_put_byte(&w->out, VALUE);
	lk_cbor_put_int(&w->out, value);
}

void lk_senml_add_flag(struct lk_senml *w, const char *name, bool value)
{
	begin_record(w, 2, name);
	lk_cbor_put_byte(&w->out, FLAG);
	lk_cbor_put_byte(&w->out, value ? LK_CBOR_TRUE : LK_CBOR_FALSE);
}

void lk_senml_add_text(struct lk_senml *w, const char *name, const char *text)
{
	begin_record(w, 2, name);
	put_text(w, TEXT, text);
}

int lk_senml_end(struct lk_senml *w)
{
	if (w->out.len < 0)
		return w->out.len;
	if (w->records == 0)
		return LK_ERANGE;
	w->out.buf[0] = (uint8_t)(LK_CBOR_ARRAY + w->records);
	return w->out.len;
}
