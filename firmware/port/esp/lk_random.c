#include "lk_random.h"

#include <string.h>

#include "freertos/FreeRTOS.h"
#include "esp_system.h"
#include "mbedtls/sha256.h"
#include "sdkconfig.h"

#ifndef CONFIG_IDF_TARGET_ESP8266
#include "esp_random.h"
#endif

#include "err.h"
#include "lk_flash.h"

enum {
	HASH = 32,
	FRESH = 16,      /* bytes of the chip's generator in each block of random bytes */
	FIRST_MIX = 128, /* and in the pool to begin with */
};

static int seed(struct lk_esp *e)
{
	uint8_t mix[HASH + FIRST_MIX + 8];
	int64_t us = esp_timer_get_time();
	int had = lk_esp_kv_get(&e->nodes[0], "seed", mix, HASH);

	if (had == LK_EIO)
		return LK_EIO;
	if (had != HASH && !e->radio)
		return LK_EAGAIN; /* an attacker could still guess the pool */
	if (had != HASH)
		memset(mix, 0, HASH);
	esp_fill_random(mix + HASH, FIRST_MIX);
	memcpy(mix + HASH + FIRST_MIX, &us, 8);
	int failed = mbedtls_sha256(mix, sizeof mix, e->pool, 0);
	mix[0] ^= 1;
	failed |= mbedtls_sha256(mix, sizeof mix, mix, 0);
	int err = failed != 0 ? LK_EIO : lk_esp_kv_set(&e->nodes[0], "seed", mix, HASH);
	memset(mix, 0, sizeof mix);
	e->seeded = err == 0;
	return err;
}

/* A hash of the pool, a count, fresh bytes and what it is for. */
static int stir(struct lk_esp *e, uint8_t what, uint8_t out[HASH])
{
	uint8_t in[HASH + 4 + FRESH + 1];

	memcpy(in, e->pool, HASH);
	memcpy(in + HASH, &e->block, 4);
	esp_fill_random(in + HASH + 4, FRESH);
	in[HASH + 4 + FRESH] = what;
	e->block++;
	int failed = mbedtls_sha256(in, sizeof in, out, 0);
	memset(in, 0, sizeof in);
	return failed != 0 ? LK_EIO : 0;
}

static int random_bytes(void *ctx, uint8_t *buf, size_t n)
{
	struct lk_esp *e = ctx;
	uint8_t out[HASH];
	int err = e->seeded ? 0 : seed(e);

	while (err == 0 && n > 0) {
		size_t part = n < HASH ? n : HASH;
		err = stir(e, 'o', out);
		memcpy(buf, out, part);
		buf += part;
		n -= part;
	}
	if (err == 0)
		err = stir(e, 'p', out); /* the pool changes, so that it does not reveal earlier output */
	if (err == 0)
		memcpy(e->pool, out, HASH);
	memset(out, 0, sizeof out);
	return err;
}

void lk_esp_random_init(struct lk_port *port) { port->random = random_bytes; }
