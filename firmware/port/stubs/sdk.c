#include "sdk.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "freertos/FreeRTOS.h"
#include "driver/adc.h"
#include "driver/gpio.h"
#include "driver/hw_timer.h"
#include "driver/pwm.h"
#include "driver/spi.h"
#include "driver/uart.h"
#include "esp8266/gpio_struct.h"
#include "esp8266/spi_struct.h"
#include "esp_netif.h"
#include "esp_sleep.h"
#include "esp_system.h"
#include "esp_task_wdt.h"
#include "esp_timer.h"
#include "esp_wifi.h"
#include "lwip/dns.h"
#include "lwip/sockets.h"
#include "nvs.h"
#include "nvs_flash.h"
#include "tcpip_adapter.h"
#include "freertos/task.h"

struct sdk sdk;
volatile gpio_struct_t GPIO;
spi_dev_t SPI1;
esp_event_base_t WIFI_EVENT = "wifi", IP_EVENT = "ip";

/* The Makefile compiles the port so that it calls this instead of abort. */
void stub_abort(void)
{
	sdk.aborts++;
	longjmp(sdk.aborted, 1);
}
esp_err_t gpio_set_level(gpio_num_t pin, uint32_t level)
{
	sdk.calls++;
	if (pin == OUTPUT && sdk.first_output_call == 0)
		sdk.first_output_call = sdk.calls;
	sdk.level[pin] = level;
	if (pin == OUTPUT)
		GPIO.out_w1tc = 0;
	return ESP_OK;
}
int gpio_get_level(gpio_num_t pin) { return (int)sdk.level[pin]; }
esp_err_t gpio_set_direction(gpio_num_t pin, gpio_mode_t mode)
{
	sdk.mode[pin] = mode;
	if (pin == OUTPUT)
		GPIO.enable_w1tc = 0;
	return ESP_OK;
}
esp_err_t gpio_config(const gpio_config_t *c)
{
	for (int pin = 0; pin < 17; pin++)
		if (c->pin_bit_mask >> pin & 1)
			(void)gpio_set_direction((gpio_num_t)pin, c->mode);
	return ESP_OK;
}
esp_err_t hw_timer_init(hw_timer_callback_t callback, void *arg)
{
	sdk.tick = callback;
	sdk.tick_arg = arg;
	return ESP_OK;
}
esp_err_t hw_timer_alarm_us(uint32_t value, bool reload) { return value == 10000 && reload ? ESP_OK : -1; }
esp_err_t esp_timer_create(const esp_timer_create_args_t *a, esp_timer_handle_t *out)
{
	bool watch = strcmp(a->name, "watch") == 0;
	*(watch ? &sdk.watch : &sdk.rejoin) = a->callback;
	*(watch ? &sdk.watch_arg : &sdk.rejoin_arg) = a->arg;
	*out = NULL;
	return ESP_OK;
}
/* Like the SDK, it refuses a period that is not a whole number of ticks. */
esp_err_t esp_timer_start_periodic(esp_timer_handle_t timer, uint64_t period)
{
	(void)timer;
	return period > 0 && period % 10000 == 0 ? ESP_OK : 0x102;
}
int64_t esp_timer_get_time(void) { return sdk.us += 1000; }
void esp_task_wdt_reset(void) {}
void esp_restart(void) { longjmp(sdk.aborted, 1); }
esp_reset_reason_t esp_reset_reason(void) { return ESP_RST_PANIC; }
void esp_deep_sleep(uint64_t us) { (void)us; }
void esp_fill_random(void *buf, size_t len) { memset(buf, 7, len); }
esp_err_t adc_init(adc_config_t *c)
{
	(void)c;
	return ESP_OK;
}
esp_err_t adc_read(uint16_t *mv)
{
	*mv = 3300;
	return ESP_OK;
}
esp_err_t pwm_init(uint32_t period, uint32_t *duties, uint8_t n, const uint32_t *pin)
{
	return period == 1000 && *duties < 1000 && n == 1 && *pin == OUTPUT ? ESP_OK : -1;
}
esp_err_t pwm_set_duty(uint8_t channel, uint32_t duty)
{
	return channel == 0 && duty > 0 && duty < 1000 ? ESP_OK : -1;
}
esp_err_t pwm_set_phase(uint8_t channel, float phase)
{
	(void)channel, (void)phase;
	return ESP_OK;
}
esp_err_t pwm_start(void)
{
	sdk.pwm = true;
	return ESP_OK;
}
esp_err_t pwm_stop(uint32_t mask)
{
	(void)mask;
	sdk.pwm = false;
	return ESP_OK;
}
esp_err_t spi_init(spi_host_t host, spi_config_t *c)
{
	return host == HSPI_HOST && !c->interface.cs_en ? ESP_OK : -1;
}
/* The chip on the bus answers each byte with its complement. */
esp_err_t spi_trans(spi_host_t host, spi_trans_t *t)
{
	(void)host;
	if (t->bits.miso != 0 || SPI1.user1.usr_miso_bitlen + 1u != t->bits.mosi)
		return -1;
	sdk.selected_during = sdk.level[15] == 0;
	for (int i = 0; i < 16; i++)
		SPI1.data_buf[i] = i < (int)(t->bits.mosi + 31) / 32 ? ~t->mosi[i] : 0;
	return ESP_OK;
}
esp_err_t nvs_flash_init(void) { return ESP_OK; }
esp_err_t nvs_open(const char *name, nvs_open_mode mode, nvs_handle *out)
{
	*out = 1;
	(void)snprintf(sdk.opened, sizeof sdk.opened, "%s", name);
	return strncmp(name, "latchkey", 8) == 0 && mode == NVS_READWRITE ? ESP_OK : -1;
}
int sdk_find(const char *key, bool text)
{
	for (int i = 0; i < 8; i++)
		if (strcmp(sdk.flash[i].key, key) == 0 && sdk.flash[i].text == text)
			return i;
	return -1;
}
static esp_err_t put(const char *key, const void *value, size_t n, bool text)
{
	int i = sdk_find(key, text);
	if (i < 0)
		i = sdk_find("", false);
	if (sdk.flash_broken)
		return -1;
	memcpy(sdk.flash[i].key, key, strlen(key) + 1);
	memcpy(sdk.flash[i].value, value, n);
	sdk.flash[i].n = n;
	sdk.flash[i].text = text;
	return ESP_OK;
}
static esp_err_t get(const char *key, void *out, size_t *n, bool text)
{
	int i = sdk_find(key, text);
	if (i < 0)
		return ESP_ERR_NVS_NOT_FOUND;
	if (*n < sdk.flash[i].n)
		return ESP_ERR_NVS_INVALID_LENGTH;
	*n = sdk.flash[i].n;
	memcpy(out, sdk.flash[i].value, *n);
	return ESP_OK;
}
esp_err_t nvs_set_str(nvs_handle h, const char *key, const char *value)
{
	return (void)h, put(key, value, strlen(value) + 1, true);
}
esp_err_t nvs_set_blob(nvs_handle h, const char *key, const void *value, size_t n)
{
	return (void)h, put(key, value, n, false);
}
esp_err_t nvs_get_str(nvs_handle h, const char *key, char *out, size_t *n)
{
	return (void)h, get(key, out, n, true);
}
esp_err_t nvs_get_blob(nvs_handle h, const char *key, void *out, size_t *n)
{
	return (void)h, get(key, out, n, false);
}
esp_err_t nvs_erase_key(nvs_handle h, const char *key)
{
	(void)h;
	int i = sdk_find(key, true) >= 0 ? sdk_find(key, true) : sdk_find(key, false);
	if (i < 0)
		return ESP_ERR_NVS_NOT_FOUND;
	memset(&sdk.flash[i], 0, sizeof sdk.flash[i]);
	return ESP_OK;
}
esp_err_t nvs_commit(nvs_handle h)
{
	(void)h;
	sdk.commits++;
	return ESP_OK;
}
esp_err_t esp_netif_init(void) { return ESP_OK; }
esp_err_t esp_event_loop_create_default(void) { return ESP_OK; }
esp_err_t esp_event_handler_register(esp_event_base_t base, int32_t id, esp_event_handler_t h, void *arg)
{
	(void)base, (void)id;
	sdk.on_event = h;
	sdk.on_event_arg = arg;
	return ESP_OK;
}
esp_err_t esp_wifi_init(const wifi_init_config_t *c) { return c->nvs_enable == 0 ? ESP_OK : -1; }
esp_err_t esp_wifi_set_mode(wifi_mode_t mode) { return mode == WIFI_MODE_STA ? ESP_OK : -1; }
esp_err_t esp_wifi_set_storage(wifi_storage_t s) { return s == WIFI_STORAGE_RAM ? ESP_OK : -1; }
esp_err_t esp_wifi_set_config(wifi_interface_t i, wifi_config_t *c)
{
	sdk.sta = c->sta;
	return i == WIFI_IF_STA ? ESP_OK : -1;
}
esp_err_t esp_wifi_set_ps(wifi_ps_type_t t) { return t == WIFI_PS_NONE ? ESP_OK : -1; }
esp_err_t esp_wifi_start(void) { return ESP_OK; }
esp_err_t esp_wifi_connect(void)
{
	sdk.connects++;
	return sdk.connect_result;
}
esp_err_t esp_wifi_disconnect(void) { return ESP_OK; }
esp_err_t esp_wifi_sta_get_ap_info(wifi_ap_record_t *ap)
{
	ap->rssi = -60;
	return ESP_OK;
}
int ip4addr_aton(const char *cp, ip4_addr_t *a)
{
	a->addr = 0x0100007f;
	return strcmp(cp, "127.0.0.1") == 0;
}
const ip_addr_t *dns_getserver(uint8_t number) { return number == 0 ? &sdk.server : NULL; }
uint16_t lwip_htons(uint16_t x) { return (uint16_t)(x >> 8 | x << 8); }
uint32_t lwip_htonl(uint32_t x)
{
	return (uint32_t)lwip_htons((uint16_t)x) << 16 | lwip_htons((uint16_t)(x >> 16));
}
int lwip_socket(int domain, int type, int protocol)
{
	(void)domain, (void)type, (void)protocol;
	sdk.connected = false;
	return 3 + sdk.sockets++;
}
int lwip_connect(int s, const struct sockaddr *to, socklen_t n)
{
	(void)s;
	memcpy(&sdk.to, to, n);
	sdk.connected = true;
	return 0;
}
int lwip_close(int s)
{
	(void)s;
	sdk.closed++;
	return 0;
}
ssize_t lwip_send(int s, const void *b, size_t n, int flags)
{
	(void)s, (void)b;
	return flags == MSG_DONTWAIT && sdk.connected ? (ssize_t)n : -1;
}
ssize_t lwip_sendto(int s, const void *b, size_t n, int flags, const struct sockaddr *to, socklen_t to_n)
{
	(void)s, (void)b;
	memcpy(&sdk.to, to, to_n);
	return flags == MSG_DONTWAIT && !sdk.connected ? (ssize_t)n : -1;
}
ssize_t lwip_recv(int s, void *b, size_t n, int flags)
{
	(void)s, (void)b, (void)n, (void)flags;
	return -1;
}
int lwip_select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *wait)
{
	(void)n, (void)in, (void)out, (void)except;
	sdk.us += wait->tv_usec;
	return 0;
}
void vTaskDelay(const TickType_t ticks) { sdk.us += ticks * 10000; }
void vPortEnterCritical(void) {}
void vPortExitCritical(void) {}
esp_err_t uart_driver_install(uart_port_t u, int rx, int tx, int q, QueueHandle_t *queue, int no_use)
{
	(void)u, (void)tx, (void)q, (void)queue, (void)no_use;
	return rx > 128 ? ESP_OK : -1;
}
int uart_write_bytes(uart_port_t u, const char *src, size_t n)
{
	(void)u;
	strncat(sdk.printed, src, n);
	return (int)n;
}
int uart_read_bytes(uart_port_t u, uint8_t *b, uint32_t n, TickType_t t)
{
	(void)u, (void)b, (void)n, (void)t;
	return 0;
}
esp_err_t uart_get_buffered_data_len(uart_port_t u, size_t *n)
{
	(void)u;
	*n = 0;
	return ESP_OK;
}
