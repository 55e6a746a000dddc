#include "lk_flash.h"

#include <stdio.h>
#include <string.h>

#include "freertos/FreeRTOS.h"
#include "esp_attr.h"
#include "nvs_flash.h"

#include "err.h"

/* ---- flash: the NVS namespace "latchkey", and "latchkey-KIND" of a second node ---- */

/* Text is stored as NVS text, so that a partition made from `latchkey device add --format
 * nvs-csv` can be used unchanged, and no key exists twice with two types. */
static bool is_text(const char *key)
{
	static const char *const texts[] = {
		"identity", "secret", "gateway", "kind", "device", "targets", "ssid", "password"};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (strcmp(key, texts[i]) == 0)
			return true;
	return false;
}

/* A text's closing NUL needs its byte in b too, but is not counted. */
int lk_esp_kv_get(void *own, const char *key, uint8_t *b, size_t cap)
{
	const struct lk_esp_node *node = own;
	bool text = is_text(key);
	size_t n = cap;

	if (!node->flash_open)
		return LK_EIO;
	esp_err_t err = text ? nvs_get_str(node->flash, key, (char *)b, &n)
	                     : nvs_get_blob(node->flash, key, b, &n);
	if (err == ESP_ERR_NVS_NOT_FOUND)
		return 0;
	if (err == ESP_ERR_NVS_INVALID_LENGTH)
		return LK_ESPACE;
	if (err != ESP_OK)
		return LK_EIO;
	return (int)(text ? n - 1 : n);
}

int lk_esp_kv_set(void *own, const char *key, const uint8_t *b, size_t n)
{
	const struct lk_esp_node *node = own;
	char text[256];
	esp_err_t err;

	if (!node->flash_open)
		return LK_EIO;
	if (n == 0) {
		err = nvs_erase_key(node->flash, key);
		if (err == ESP_ERR_NVS_NOT_FOUND)
			return 0;
	} else if (is_text(key)) {
		if (n >= sizeof text)
			return LK_ESPACE;
		memcpy(text, b, n);
		text[n] = '\0';
		err = nvs_set_str(node->flash, key, text);
		memset(text, 0, sizeof text);
	} else {
		err = nvs_set_blob(node->flash, key, b, n);
	}
	return err == ESP_OK && nvs_commit(node->flash) == ESP_OK ? 0 : LK_EIO;
}

void lk_esp_flash_open(struct lk_esp_node *n)
{
	char name[16]; /* the longest that NVS takes */
	int len = snprintf(name, sizeof name, "latchkey%s%s", *n->name != '\0' ? "-" : "", n->name);

	/* On failure nothing is erased, though the SDK's examples do it: the key and the counter would
	 * be gone. */
	bool fits = len > 0 && (size_t)len < sizeof name;
	n->flash_open = fits && nvs_flash_init() == ESP_OK && nvs_open(name, NVS_READWRITE, &n->flash) == ESP_OK;
}

/* ---- RTC memory ---- */

/* Access is by words only. It is never initialised, so that it keeps its content. */
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

void lk_esp_flash_init(struct lk_port *port)
{
	port->kv_get = lk_esp_kv_get;
	port->kv_set = lk_esp_kv_set;
	port->rtc_get = rtc_get;
	port->rtc_set = rtc_set;
}
