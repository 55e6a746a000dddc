#include "esp.h"

#include <stdlib.h>
#include <string.h>

#include "driver/uart.h"
#include "esp_attr.h"
#include "esp_event.h"
#include "esp_netif.h"
#include "esp_system.h"
#include "esp_wifi.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "lwip/dns.h"
#include "lwip/sockets.h"
#include "lwip/tcpip.h"
#include "mbedtls/sha256.h"
#include "nvs_flash.h"
#include "sdkconfig.h"

#ifdef CONFIG_IDF_TARGET_ESP8266
#include "tcpip_adapter.h"
#else
#include "esp_random.h"
#endif

#include "err.h"

enum {
	SERIAL_BUFFER = 512, /* more than comes in a SLICE at 115200 baud */
	SLICE = 20,          /* ms between two looks at the serial line */
	REJOIN_EVERY = 1000, /* ms; a wrong password must not become a stream of tries */
	HASH = 32,
	FRESH = 16,      /* bytes of the chip's generator in each block of random bytes */
	FIRST_MIX = 128, /* and in the pool to begin with */
};

/* ---- clock and reset ---- */

static uint32_t now(void *ctx)
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

/* ---- WiFi: a station, and never an access point ---- */

static void try_to_connect(struct lk_esp *e) { atomic_store(&e->apart, esp_wifi_connect() != ESP_OK); }

/* One timer that never stops: one that is started again from an event could be stopped by its own callback that is just ending. */
static void each_second(void *arg)
{
	struct lk_esp *e = arg;

	if (atomic_load(&e->apart))
		try_to_connect(e);
}

static void on_event(void *arg, esp_event_base_t base, int32_t id, void *data)
{
	struct lk_esp *e = arg;

	(void)data;
	if (base == IP_EVENT && id == IP_EVENT_STA_GOT_IP) {
		atomic_store(&e->joined, true);
	} else if (base == IP_EVENT && id == IP_EVENT_STA_LOST_IP) {
		atomic_store(&e->joined, false);
	} else if (base == WIFI_EVENT && id == WIFI_EVENT_STA_START) {
		try_to_connect(e);
	} else if (base == WIFI_EVENT && id == WIFI_EVENT_STA_DISCONNECTED) {
		atomic_store(&e->joined, false);
		atomic_store(&e->apart, true);
	}
}

static esp_err_t start_station(struct lk_esp *e)
{
	wifi_init_config_t init = WIFI_INIT_CONFIG_DEFAULT();
	const esp_timer_create_args_t timer = {.callback = each_second, .arg = e, .dispatch_method = ESP_TIMER_TASK, .name = "rejoin"};
	esp_err_t err;

	if ((err = esp_netif_init()) != ESP_OK || (err = esp_event_loop_create_default()) != ESP_OK)
		return err;
#ifndef CONFIG_IDF_TARGET_ESP8266
	if (esp_netif_create_default_wifi_sta() == NULL)
		return ESP_ERR_NO_MEM;
#endif
	init.nvs_enable = 0; /* the password is in our namespace, and once is enough */
	if ((err = esp_timer_create(&timer, &e->every_second)) != ESP_OK || (err = esp_wifi_init(&init)) != ESP_OK)
		return err;
	if ((err = esp_event_handler_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_event, e)) != ESP_OK ||
	    (err = esp_event_handler_register(IP_EVENT, ESP_EVENT_ANY_ID, on_event, e)) != ESP_OK)
		return err;
	if ((err = esp_wifi_set_storage(WIFI_STORAGE_RAM)) != ESP_OK || (err = esp_wifi_set_mode(WIFI_MODE_STA)) != ESP_OK)
		return err;
	return esp_timer_start_periodic(e->every_second, REJOIN_EVERY * 1000u);
}

static int net_join(void *ctx, const char *ssid, const char *password)
{
	struct lk_esp *e = ctx;
	wifi_config_t c;
	size_t ssid_len = strlen(ssid), password_len = strlen(password);

	memset(&c, 0, sizeof c);
	/* Neither is a C string where it fills its field. */
	if (ssid_len == 0 || ssid_len > sizeof c.sta.ssid || password_len > sizeof c.sta.password)
		return LK_ERANGE;
	memcpy(c.sta.ssid, ssid, ssid_len);
	memcpy(c.sta.password, password, password_len);
	/* Without this an open network of the same name would do as well. */
	c.sta.threshold.authmode = password_len > 0 ? WIFI_AUTH_WPA2_PSK : WIFI_AUTH_OPEN;
	c.sta.pmf_cfg.capable = true;

	bool first = !e->radio;
	esp_err_t err = first ? start_station(e) : ESP_OK;
	if (err == ESP_OK)
		err = esp_wifi_set_config(WIFI_IF_STA, &c);
	memset(&c, 0, sizeof c);
	if (err == ESP_OK)
		err = first ? esp_wifi_start() : esp_wifi_disconnect(); /* each is followed by an event, and that by a connect */
	if (err != ESP_OK)
		return LK_EIO;
	e->radio = true;
	(void)esp_wifi_set_ps(WIFI_PS_NONE); /* a command must not wait for the next beacon */
	return 0;
}

static bool net_ready(void *ctx) { return atomic_load(&((struct lk_esp *)ctx)->joined); }

static int32_t rssi(void *ctx)
{
	wifi_ap_record_t ap;

	return net_ready(ctx) && esp_wifi_sta_get_ap_info(&ap) == ESP_OK ? ap.rssi : 0;
}

/* ---- UDP ---- */

static void on_name(const char *name, const ip_addr_t *address, void *arg)
{
	struct lk_esp *e = arg;

	(void)name;
	if (address != NULL)
		atomic_store(&e->answered, ip_2_ip4(address)->addr);
	atomic_store(&e->asking, false);
}

/* Runs in lwIP's own task, as its DNS client must. */
static void ask(void *arg)
{
	struct lk_esp *e = arg;
	ip_addr_t address;
	err_t err = dns_gethostbyname_addrtype(e->host, &address, on_name, e, LWIP_DNS_ADDRTYPE_IPV4);

	if (err != ERR_INPROGRESS)
		on_name(e->host, err == ERR_OK ? &address : NULL, e);
}

/* The address of host, 0 if it is not known yet. getaddrinfo would block for as long as a DNS server is silent. */
static uint32_t look_up(struct lk_esp *e, const char *host)
{
	ip4_addr_t literal;

	if (ip4addr_aton(host, &literal) != 0)
		return literal.addr;
	if (!atomic_load(&e->asking) && atomic_load(&e->answered) == 0) {
		e->host = host;
		atomic_store(&e->asking, true);
		if (tcpip_callback(ask, e) != ERR_OK)
			atomic_store(&e->asking, false);
	}
	/* It may be there already: lwIP has a cache. It is used once, so the next socket asks again. The chip has no atomic exchange. */
	uint32_t address = atomic_load(&e->answered);
	if (address != 0)
		atomic_store(&e->answered, 0);
	return address;
}

static int udp_open(void *ctx, const char *host, uint16_t port)
{
	struct lk_esp *e = ctx;
	struct sockaddr_in to;

	if (e->sock >= 0)
		(void)lwip_close(e->sock);
	e->sock = -1;
	uint32_t address = look_up(e, host);
	if (address == 0)
		return LK_EAGAIN;
	memset(&to, 0, sizeof to);
	to.sin_family = AF_INET;
	to.sin_port = lwip_htons(port);
	to.sin_addr.s_addr = address;
	e->sock = lwip_socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
	if (e->sock < 0)
		return LK_EIO;
	/* Connected: a datagram from elsewhere does not even reach us. */
	if (lwip_connect(e->sock, (const struct sockaddr *)&to, sizeof to) < 0) {
		(void)lwip_close(e->sock);
		e->sock = -1;
		return LK_EIO;
	}
	return 0;
}

static int udp_send(void *ctx, const uint8_t *b, size_t n)
{
	struct lk_esp *e = ctx;

	if (e->sock < 0)
		return LK_ECLOSED;
	return lwip_send(e->sock, b, n, MSG_DONTWAIT) == (ssize_t)n ? 0 : LK_EIO;
}

static int udp_recv(void *ctx, uint8_t *b, size_t cap)
{
	struct lk_esp *e = ctx;

	if (e->sock < 0)
		return LK_ECLOSED;
	ssize_t n = lwip_recv(e->sock, b, cap, MSG_DONTWAIT);
	return n > 0 ? (int)n : 0;
}

static bool typed(void)
{
	size_t n = 0;

	return uart_get_buffered_data_len(UART_NUM_0, &n) == ESP_OK && n > 0;
}

/* The serial line is no socket, so it is looked at between slices. */
static void udp_wait(void *ctx, uint32_t ms)
{
	struct lk_esp *e = ctx;
	uint32_t began = now(e), gone = 0;

	while (gone < ms && !typed()) {
		uint32_t slice = ms - gone < SLICE ? ms - gone : SLICE;
		if (e->sock < 0) {
			vTaskDelay((TickType_t)((slice + portTICK_PERIOD_MS - 1) / portTICK_PERIOD_MS));
		} else {
			struct timeval wait = {.tv_sec = 0, .tv_usec = (int)(slice * 1000)};
			fd_set in;
			FD_ZERO(&in);
			FD_SET(e->sock, &in);
			if (lwip_select(e->sock + 1, &in, NULL, NULL, &wait) != 0)
				return;
		}
		gone = now(e) - began;
	}
}

/* ---- serial line ---- */

static int console_read(void *ctx)
{
	uint8_t c;

	(void)ctx;
	return typed() && uart_read_bytes(UART_NUM_0, &c, 1, 0) == 1 ? c : -1;
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
	e->sock = -1;
	(void)uart_driver_install(UART_NUM_0, SERIAL_BUFFER, 0, 0, NULL, 0);
	open_flash(e);
	port->ctx = e;
	port->now = now;
	port->random = random_bytes;
	port->boot = boot;
	port->net_join = net_join;
	port->net_ready = net_ready;
	port->udp_open = udp_open;
	port->udp_send = udp_send;
	port->udp_recv = udp_recv;
	port->udp_wait = udp_wait;
	port->kv_get = kv_get;
	port->kv_set = kv_set;
	port->rtc_get = rtc_get;
	port->rtc_set = rtc_set;
	port->rssi = rssi;
	port->console_read = console_read;
	port->print = print;
	port->log = log_line;
}
