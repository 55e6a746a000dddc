#include "esp.h"

#include <stdlib.h>
#include <string.h>

#include "freertos/FreeRTOS.h" /* first: both SDKs demand it before their other headers */
#include "driver/uart.h"
#include "esp_attr.h"
#include "esp_system.h"
#include "freertos/task.h"
#include "mbedtls/sha256.h"
#include "nvs_flash.h"
#include "sdkconfig.h"

#ifndef CONFIG_IDF_TARGET_ESP8266
#include "esp_random.h"
#endif

#include "err.h"
#include "esp_net.h"

enum {
	SERIAL_BUFFER = 512, /* more than comes between two looks at 115200 baud */
	HASH = 32,
	FRESH = 16,      /* bytes of the chip's generator in each block of random bytes */
	FIRST_MIX = 128, /* and in the pool to begin with */
};

/* ---- clock and reset ---- */

uint32_t lk_esp_now(void *ctx)
{
	(void)ctx;
#ifdef CONFIG_IDF_TARGET_ESP8266
	/* The SDK adds up two counters there, and the tick moves time from one into the other. */
	portENTER_CRITICAL();
	int64_t us = esp_timer_get_time();
	portEXIT_CRITICAL();
#else
	int64_t us = esp_timer_get_time();
#endif
	return (uint32_t)(us / 1000);
}

static enum lk_boot boot(void *ctx)
{
	(void)ctx;
	switch (esp_reset_reason()) {
	case ESP_RST_DEEPSLEEP:
		return LK_BOOT_WAKE;
	case ESP_RST_PANIC:
	case ESP_RST_INT_WDT:
	case ESP_RST_TASK_WDT:
	case ESP_RST_WDT:
		return LK_BOOT_WATCHDOG;
	case ESP_RST_EXT:
	case ESP_RST_SW:
	case ESP_RST_SDIO:
#ifdef CONFIG_IDF_TARGET_ESP8266
	case ESP_RST_FAST_SW:
#endif
		return LK_BOOT_RESET;
	default:
		return LK_BOOT_POWER;
	}
}

/* ---- flash: the NVS namespace "latchkey" ---- */

/* What is text is kept as NVS keeps text, so that a partition made from `latchkey device add --format nvs-csv` serves as it is, and so
 * that no key is there twice, once of each type. */
static bool is_text(const char *key)
{
	static const char *const texts[] = {"identity", "secret", "gateway", "kind", "device", "targets", "ssid", "password"};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (strcmp(key, texts[i]) == 0)
			return true;
	return false;
}

/* A text's closing NUL needs its byte in b too, but is not counted. */
static int kv_get(void *ctx, const char *key, uint8_t *b, size_t cap)
{
	struct lk_esp *e = ctx;
	bool text = is_text(key);
	size_t n = cap;

	if (!e->flash_open)
		return LK_EIO;
	esp_err_t err = text ? nvs_get_str(e->flash, key, (char *)b, &n) : nvs_get_blob(e->flash, key, b, &n);
	if (err == ESP_ERR_NVS_NOT_FOUND)
		return 0;
	if (err == ESP_ERR_NVS_INVALID_LENGTH)
		return LK_ESPACE;
	if (err != ESP_OK)
		return LK_EIO;
	return (int)(text ? n - 1 : n);
}

static int kv_set(void *ctx, const char *key, const uint8_t *b, size_t n)
{
	struct lk_esp *e = ctx;
	char text[256];
	esp_err_t err;

	if (!e->flash_open)
		return LK_EIO;
	if (n == 0) {
		err = nvs_erase_key(e->flash, key);
		if (err == ESP_ERR_NVS_NOT_FOUND)
			return 0;
	} else if (is_text(key)) {
		if (n >= sizeof text)
			return LK_ESPACE;
		memcpy(text, b, n);
		text[n] = '\0';
		err = nvs_set_str(e->flash, key, text);
		memset(text, 0, sizeof text);
	} else {
		err = nvs_set_blob(e->flash, key, b, n);
	}
	return err == ESP_OK && nvs_commit(e->flash) == ESP_OK ? 0 : LK_EIO;
}

static void open_flash(struct lk_esp *e)
{
	/* On failure nothing is erased, though the SDK's examples do it: the key and the counter would be gone. The node says that flash cannot
	 * be read, and stays shut. */
	e->flash_open = nvs_flash_init() == ESP_OK && nvs_open("latchkey", NVS_READWRITE, &e->flash) == ESP_OK;
}

/* ---- RTC memory ---- */

/* It takes words only. Never initialised: that is what it is for. */
static RTC_NOINIT_ATTR volatile uint32_t rtc[LK_RTC_MAX / 4];

static int rtc_get(void *ctx, uint8_t *b, size_t n)
{
	(void)ctx;
	if (n > LK_RTC_MAX || n % 4 != 0)
		return LK_ERANGE;
	for (size_t i = 0; i < n / 4; i++) {
		uint32_t word = rtc[i];
		memcpy(b + 4 * i, &word, 4);
	}
	return 0;
}

static int rtc_set(void *ctx, const uint8_t *b, size_t n)
{
	(void)ctx;
	if (n > LK_RTC_MAX || n % 4 != 0)
		return LK_ERANGE;
	for (size_t i = 0; i < n / 4; i++) {
		uint32_t word;
		memcpy(&word, b + 4 * i, 4);
		rtc[i] = word;
	}
	return 0;
}

/* ---- random bytes ----
 * The chip's generator is noise only while the radio runs, and raw even then. So all goes through SHA-256, from a pool that begins with a
 * seed in flash. The seed is replaced before the pool is used: two boots never begin with the same pool.
 */

static int seed(struct lk_esp *e)
{
	uint8_t mix[HASH + FIRST_MIX + 8];
	int64_t us = esp_timer_get_time();
	int had = kv_get(e, "seed", mix, HASH);

	if (had == LK_EIO)
		return LK_EIO;
	if (had != HASH && !e->radio)
		return LK_EAGAIN; /* nothing here yet that an attacker could not guess */
	if (had != HASH)
		memset(mix, 0, HASH);
	esp_fill_random(mix + HASH, FIRST_MIX);
	memcpy(mix + HASH + FIRST_MIX, &us, 8);
	int failed = mbedtls_sha256(mix, sizeof mix, e->pool, 0);
	mix[0] ^= 1;
	failed |= mbedtls_sha256(mix, sizeof mix, mix, 0);
	int err = failed != 0 ? LK_EIO : kv_set(e, "seed", mix, HASH);
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
		err = stir(e, 'p', out); /* the pool moves on, so that who reads it later cannot tell what it gave */
	if (err == 0)
		memcpy(e->pool, out, HASH);
	memset(out, 0, sizeof out);
	return err;
}

/* ---- serial line ---- */

bool lk_esp_typed(void)
{
	size_t n = 0;

	return uart_get_buffered_data_len(UART_NUM_0, &n) == ESP_OK && n > 0;
}

static int console_read(void *ctx)
{
	uint8_t c;

	(void)ctx;
	return lk_esp_typed() && uart_read_bytes(UART_NUM_0, &c, 1, 0) == 1 ? c : -1;
}

static void print(void *ctx, const char *text)
{
	(void)ctx;
	(void)uart_write_bytes(UART_NUM_0, text, strlen(text));
}

static void log_line(void *ctx, const char *text, uint32_t number)
{
	char digits[14]; /* a space, ten digits, CR LF NUL */
	char *d = digits + sizeof digits - 3;

	memcpy(d, "\r\n", 3);
	do {
		*--d = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	*--d = ' ';
	print(ctx, text);
	print(ctx, d);
}

void *lk_port_calloc(size_t n, size_t size) { return calloc(n, size); }

void lk_port_free(void *p) { free(p); }

void lk_esp_init(struct lk_esp *e, struct lk_port *port)
{
	memset(e, 0, sizeof *e);
	(void)uart_driver_install(UART_NUM_0, SERIAL_BUFFER, 0, 0, NULL, 0);
	open_flash(e);
	port->ctx = e;
	lk_esp_net_init(e, port);
	port->now = lk_esp_now;
	port->random = random_bytes;
	port->boot = boot;
	port->kv_get = kv_get;
	port->kv_set = kv_set;
	port->rtc_get = rtc_get;
	port->rtc_set = rtc_set;
	port->console_read = console_read;
	port->print = print;
	port->log = log_line;
}
