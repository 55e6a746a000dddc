#include "counter.h"

#include <string.h>

#include "err.h"

static const char key[] = "counter";

static void put64(uint8_t *b, uint64_t v)
{
	for (int i = 7; i >= 0; i--) {
		b[i] = (uint8_t)v;
		v >>= 8;
	}
}

static uint64_t get64(const uint8_t *b)
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++) {
		v = v << 8 | b[i];
	}
	return v;
}

int lk_counter_load(struct lk_counter *c, const struct lk_port *port)
{
	uint8_t b[8];
	int n = port->kv_get(port->own, key, b, sizeof b);
	c->next = c->reserved = 1;
	if (n == 0 || n == LK_EIO) {
		return n;
	}
	uint64_t v = n == (int)sizeof b ? get64(b) : 0;
	if (v == 0 || v > LK_COUNTER_MAX + 1) {
		return LK_EMALFORMED;
	}
	c->next = c->reserved = v;
	return 0;
}

static int reserve(struct lk_counter *c, const struct lk_port *port)
{
	uint8_t b[8];
	uint64_t end = LK_COUNTER_MAX + 1;
	if (end - c->next > LK_COUNTER_BLOCK) {
		end = c->next + LK_COUNTER_BLOCK;
	}
	put64(b, end);
	if (port->kv_set(port->own, key, b, sizeof b) < 0) {
		return LK_EIO;
	}
	c->reserved = end;
	return 0;
}

int lk_counter_take_next(struct lk_counter *c, const struct lk_port *port, uint64_t *n)
{
	if (c->next > LK_COUNTER_MAX) {
		return LK_ERANGE;
	}
	if (c->next >= c->reserved) {
		int err = reserve(c, port);
		if (err < 0) {
			return err;
		}
	}
	*n = c->next++;
	return 0;
}

int lk_counter_catch_up(struct lk_counter *c, const struct lk_port *port, uint64_t last)
{
	if (last > LK_COUNTER_MAX) {
		return LK_ERANGE;
	}
	if (last < c->next) {
		return 0;
	}
	c->next = last + 1;
	return last >= c->reserved ? reserve(c, port) : 0;
}

int lk_counter_export(const struct lk_counter *c, uint8_t *buf, size_t cap)
{
	if (cap < LK_COUNTER_EXPORT) {
		return LK_ESPACE;
	}
	memcpy(buf, &c->next, sizeof c->next);
	memcpy(buf + sizeof c->next, &c->reserved, sizeof c->reserved);
	return LK_COUNTER_EXPORT;
}

int lk_counter_import(struct lk_counter *c, const uint8_t *buf, size_t n)
{
	struct lk_counter was;
	if (n != LK_COUNTER_EXPORT) {
		return LK_EMALFORMED;
	}
	memcpy(&was.next, buf, sizeof was.next);
	memcpy(&was.reserved, buf + sizeof was.next, sizeof was.reserved);
	if (was.reserved != c->reserved || was.next == 0 || was.next > was.reserved ||
		was.reserved - was.next > LK_COUNTER_BLOCK) {
		return LK_EMALFORMED;
	}
	*c = was;
	return 0;
}
