/* The ESP8266's port with an SDK played by this file: what it asks of the SDK, and when. It says nothing about a real chip. */
#include <setjmp.h>
#include <stdlib.h>
#include <sys/types.h>

#include "check.h"
#include "driver/adc.h"
#include "driver/gpio.h"
#include "driver/hw_timer.h"
#include "driver/pwm.h"
#include "driver/spi.h"
#include "driver/uart.h"
#include "err.h"
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
#include "lwip/tcpip.h"
#include "nvs.h"
#include "nvs_flash.h"
#include "port_esp8266.h"
#include "tcpip_adapter.h"
#include "freertos/task.h"

#define OUTPUT GPIO_NUM_5

volatile gpio_struct_t GPIO;
spi_dev_t SPI1;
esp_event_base_t WIFI_EVENT = "wifi", IP_EVENT = "ip";

static struct {
	unsigned calls, first_output_call; /* calls of gpio_set_level; which was the first for the output */
	uint32_t level[17];
	gpio_mode_t mode[17];
	hw_timer_callback_t tick;
	void *tick_arg;
	esp_timer_cb_t watch, rejoin;
	void *watch_arg, *rejoin_arg;
	jmp_buf aborted;
	unsigned aborts, connects;
	bool selected_during; /* chip select low while SPI ran */
	bool pwm;
	struct {
		char key[16];
		uint8_t value[64];
		size_t n;
		bool text;
	} flash[8];
	unsigned commits;
	bool flash_broken;
	wifi_sta_config_t sta;
	esp_event_handler_t on_event;
	void *on_event_arg;
	esp_err_t connect_result;
	bool name_known;
	dns_found_callback found;
	void *found_arg;
	int sockets, closed;
	struct sockaddr_in to;
	int64_t us;
} sdk;

/* ---- the SDK ---- */

/* abort, by another name. */
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
/* As the SDK: a whole number of its ticks, or refused. */
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
esp_err_t pwm_set_duty(uint8_t channel, uint32_t duty) { return channel == 0 && duty > 0 && duty < 1000 ? ESP_OK : -1; }
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
esp_err_t spi_init(spi_host_t host, spi_config_t *c) { return host == HSPI_HOST && !c->interface.cs_en ? ESP_OK : -1; }
/* The other end answers each byte with its complement. */
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
	return strcmp(name, "latchkey") == 0 && mode == NVS_READWRITE ? ESP_OK : -1;
}
static int find(const char *key, bool text)
{
	for (int i = 0; i < 8; i++)
		if (strcmp(sdk.flash[i].key, key) == 0 && sdk.flash[i].text == text)
			return i;
	return -1;
}
static esp_err_t put(const char *key, const void *value, size_t n, bool text)
{
	int i = find(key, text);
	if (i < 0)
		i = find("", false);
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
	int i = find(key, text);
	if (i < 0)
		return ESP_ERR_NVS_NOT_FOUND;
	if (*n < sdk.flash[i].n)
		return ESP_ERR_NVS_INVALID_LENGTH;
	*n = sdk.flash[i].n;
	memcpy(out, sdk.flash[i].value, *n);
	return ESP_OK;
}
esp_err_t nvs_set_str(nvs_handle h, const char *key, const char *value) { return (void)h, put(key, value, strlen(value) + 1, true); }
esp_err_t nvs_set_blob(nvs_handle h, const char *key, const void *value, size_t n) { return (void)h, put(key, value, n, false); }
esp_err_t nvs_get_str(nvs_handle h, const char *key, char *out, size_t *n) { return (void)h, get(key, out, n, true); }
esp_err_t nvs_get_blob(nvs_handle h, const char *key, void *out, size_t *n) { return (void)h, get(key, out, n, false); }
esp_err_t nvs_erase_key(nvs_handle h, const char *key)
{
	(void)h;
	int i = find(key, true) >= 0 ? find(key, true) : find(key, false);
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
err_t dns_gethostbyname_addrtype(const char *name, ip_addr_t *a, dns_found_callback found, void *arg, uint8_t type)
{
	(void)name, (void)type;
	a->addr = 0x0200007f;
	sdk.found = found;
	sdk.found_arg = arg;
	return sdk.name_known ? ERR_OK : ERR_INPROGRESS;
}
err_t tcpip_callback(tcpip_callback_fn f, void *ctx)
{
	f(ctx);
	return ERR_OK;
}
uint16_t lwip_htons(uint16_t x) { return (uint16_t)(x >> 8 | x << 8); }
int lwip_socket(int domain, int type, int protocol)
{
	(void)domain, (void)type, (void)protocol;
	return 3 + sdk.sockets++;
}
int lwip_connect(int s, const struct sockaddr *to, socklen_t n)
{
	(void)s;
	memcpy(&sdk.to, to, n);
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
	return flags == MSG_DONTWAIT ? (ssize_t)n : -1;
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
static char printed[200];
int uart_write_bytes(uart_port_t u, const char *src, size_t n)
{
	(void)u;
	strncat(printed, src, n);
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

/* ---- the tests ---- */

/* The output drives its load: the pin is driven, and high or pulsed. */
static bool pulled(void)
{
	bool driven = sdk.mode[OUTPUT] == GPIO_MODE_OUTPUT && !(GPIO.enable_w1tc >> OUTPUT & 1);
	bool high = sdk.level[OUTPUT] != 0 && !(GPIO.out_w1tc >> OUTPUT & 1);
	return driven && (high || sdk.pwm); /* PWM writes the level again and again */
}

static unsigned aborts(void)
{
	if (setjmp(sdk.aborted) == 0)
		sdk.watch(sdk.watch_arg);
	return sdk.aborts;
}

static void ticks(unsigned n)
{
	while (n-- > 0)
		sdk.tick(sdk.tick_arg);
}

static void test_output(const struct lk_port *p)
{
	CHECK_EQ(sdk.first_output_call, 1); /* off before anything else, and held there */
	CHECK_EQ(sdk.level[OUTPUT], 0);
	CHECK_EQ(sdk.mode[OUTPUT], GPIO_MODE_OUTPUT);
	p->output(p->ctx, 100, 3000);
	CHECK(pulled());
	ticks(299);
	CHECK(pulled());
	ticks(1); /* the loop has done nothing */
	CHECK(!pulled());
	p->feed(p->ctx);
	p->output(p->ctx, 100, 25);
	ticks(2);
	CHECK(pulled());
	ticks(1);
	CHECK(!pulled()); /* a pulse is rounded up to a tick, and ends */
	p->output(p->ctx, 100, 1000);
	p->output(p->ctx, 0, 0);
	CHECK(!pulled());
	p->output(p->ctx, 100, 0);
	p->feed(p->ctx);
	ticks(490);
	CHECK(pulled()); /* without an end it stays */
	CHECK_EQ(aborts(), 0);
	ticks(11); /* the loop hangs: 5 s */
	CHECK(!pulled());
	CHECK_EQ(aborts(), 1);
	p->feed(p->ctx);
	p->output(p->ctx, 100, 0);
	CHECK(pulled());
	if (setjmp(sdk.aborted) == 0)
		p->restart(p->ctx);
	CHECK(!pulled());
#if LK_ROLE_LAMP
	p->output(p->ctx, 40, 100);
	CHECK(pulled() && sdk.pwm);
	ticks(10);
	CHECK(!pulled()); /* though PWM goes on writing the level */
	p->output(p->ctx, 100, 0);
	CHECK(pulled() && !sdk.pwm);
	p->output(p->ctx, 40, 0);
	p->output(p->ctx, 0, 0);
	CHECK(!pulled() && !sdk.pwm);
#endif
}

static void test_flash(const struct lk_port *p)
{
	uint8_t b[64];
	static const char secret[] = "0123456789abcdefghjkmnpqrs";

	CHECK_EQ(p->kv_get(p->ctx, "secret", b, sizeof b), 0);
	CHECK_EQ(p->kv_set(p->ctx, "secret", (const uint8_t *)secret, 26), 0);
	CHECK_EQ(sdk.commits, 1);
	CHECK(find("secret", true) >= 0); /* text, as nvs-csv makes it */
	CHECK_EQ(p->kv_get(p->ctx, "secret", b, 27), 26);
	CHECK(memcmp(b, secret, 26) == 0);
	CHECK_EQ(p->kv_get(p->ctx, "secret", b, 20), LK_ESPACE);
	CHECK_EQ(p->kv_set(p->ctx, "counter", (const uint8_t *)"\0\1\2", 3), 0);
	CHECK(find("counter", false) >= 0);
	CHECK_EQ(p->kv_get(p->ctx, "counter", b, sizeof b), 3);
	CHECK_EQ(p->kv_set(p->ctx, "secret", b, 0), 0);
	CHECK_EQ(p->kv_set(p->ctx, "secret", b, 0), 0); /* what is not there is gone too */
	CHECK_EQ(p->kv_get(p->ctx, "secret", b, sizeof b), 0);
}

static void test_random(const struct lk_port *p)
{
	uint8_t a[48], b[48], before[32], after[32];

	CHECK(p->random(p->ctx, a, sizeof a) < 0); /* no seed, no radio: nothing that could not be guessed */
	memset(before, 1, sizeof before);
	CHECK_EQ(p->kv_set(p->ctx, "seed", before, sizeof before), 0);
	sdk.flash_broken = true;
	CHECK(p->random(p->ctx, a, sizeof a) < 0); /* a seed that stays would be used twice */
	sdk.flash_broken = false;
	CHECK_EQ(p->random(p->ctx, a, sizeof a), 0);
	CHECK_EQ(p->kv_get(p->ctx, "seed", after, sizeof after), 32);
	CHECK(memcmp(before, after, 32) != 0);
	CHECK_EQ(p->random(p->ctx, b, sizeof b), 0);
	CHECK(memcmp(a, b, 32) != 0 && memcmp(a, a + 32, 16) != 0); /* even from a generator that always says the same */
}

static void test_wifi(const struct lk_port *p)
{
	static const char ssid[] = "thirty-two characters of a name!", password[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

	CHECK_EQ(p->net_join(p->ctx, "", ""), LK_ERANGE);
	CHECK_EQ(p->net_join(p->ctx, ssid, password), 0);
	CHECK(memcmp(sdk.sta.ssid, ssid, 32) == 0 && memcmp(sdk.sta.password, password, 64) == 0);
	CHECK_EQ(sdk.sta.threshold.authmode, WIFI_AUTH_WPA2_PSK); /* no open network instead */
	sdk.on_event(sdk.on_event_arg, WIFI_EVENT, WIFI_EVENT_STA_START, NULL);
	CHECK_EQ(sdk.connects, 1);
	CHECK(!p->net_ready(p->ctx));
	sdk.on_event(sdk.on_event_arg, IP_EVENT, IP_EVENT_STA_GOT_IP, NULL);
	CHECK(p->net_ready(p->ctx));
	CHECK_EQ(p->rssi(p->ctx), -60);
	sdk.rejoin(sdk.rejoin_arg);
	CHECK_EQ(sdk.connects, 1);
	sdk.on_event(sdk.on_event_arg, WIFI_EVENT, WIFI_EVENT_STA_DISCONNECTED, NULL);
	CHECK(!p->net_ready(p->ctx));
	CHECK_EQ(sdk.connects, 1); /* not at once */
	sdk.connect_result = -1;
	sdk.rejoin(sdk.rejoin_arg);
	sdk.connect_result = ESP_OK;
	sdk.rejoin(sdk.rejoin_arg);
	sdk.rejoin(sdk.rejoin_arg);
	CHECK_EQ(sdk.connects, 3); /* until one try has begun */
}

static void test_udp(const struct lk_port *p)
{
	uint8_t b[8] = {0};

	CHECK_EQ(p->udp_send(p->ctx, b, sizeof b), LK_ECLOSED);
	CHECK_EQ(p->udp_open(p->ctx, "127.0.0.1", 5684), 0);
	CHECK_EQ(sdk.to.sin_port, 0x3416);
	CHECK_EQ(sdk.to.sin_addr.s_addr, 0x0100007f);
	CHECK_EQ(p->udp_send(p->ctx, b, sizeof b), 0);
	CHECK_EQ(p->udp_recv(p->ctx, b, sizeof b), 0);
	CHECK_EQ(p->udp_open(p->ctx, "gateway", 5684), LK_EAGAIN); /* asked, not waited for */
	CHECK_EQ(sdk.closed, 1);
	CHECK_EQ(p->udp_open(p->ctx, "gateway", 5684), LK_EAGAIN);
	ip_addr_t found = {0x0300007f};
	sdk.found("gateway", &found, sdk.found_arg);
	CHECK_EQ(p->udp_open(p->ctx, "gateway", 5684), 0);
	CHECK_EQ(sdk.to.sin_addr.s_addr, 0x0300007f);
	sdk.name_known = true;
	CHECK_EQ(p->udp_open(p->ctx, "gateway", 5684), 0); /* from lwIP's cache, at once */
	CHECK_EQ(sdk.to.sin_addr.s_addr, 0x0200007f);
	sdk.name_known = false;
	CHECK_EQ(p->udp_open(p->ctx, "gateway", 5684), LK_EAGAIN);
	sdk.found("gateway", NULL, sdk.found_arg); /* no such name: the next try asks again */
	CHECK_EQ(p->udp_open(p->ctx, "gateway", 5684), LK_EAGAIN);
	uint32_t began = p->now(p->ctx);
	p->udp_wait(p->ctx, 50);
	CHECK(p->now(p->ctx) - began >= 50);
}

static void test_rest(const struct lk_port *p)
{
	uint8_t in[LK_RTC_MAX], out[LK_RTC_MAX];

	for (size_t i = 0; i < sizeof in; i++)
		in[i] = (uint8_t)i;
	CHECK_EQ(p->rtc_set(p->ctx, in, sizeof in), 0);
	CHECK_EQ(p->rtc_get(p->ctx, out, sizeof out), 0);
	CHECK(memcmp(in, out, sizeof in) == 0);
	CHECK_EQ(p->rtc_set(p->ctx, in, 3), LK_ERANGE);
	CHECK_EQ(p->boot(p->ctx), LK_BOOT_WATCHDOG);
	CHECK_EQ(p->voltage(p->ctx), 3300);
	printed[0] = '\0';
	p->log(p->ctx, "text", 0);
	p->log(p->ctx, "number", UINT32_MAX);
	CHECK(strcmp(printed, "text 0\r\nnumber 4294967295\r\n") == 0);
#if LK_ROLE_READER
	uint8_t rx[64];
	CHECK_EQ(p->spi(p->ctx, in, rx, 1), LK_ERANGE);
	CHECK_EQ(p->spi(p->ctx, in, rx, 65), LK_ERANGE);
	for (size_t n = 2; n <= 64; n++) {
		CHECK_EQ(p->spi(p->ctx, in, rx, n), 0);
		for (size_t i = 0; i < n; i++)
			CHECK_EQ(rx[i], (uint8_t)~in[i]);
	}
	CHECK(sdk.selected_during && sdk.level[15] == 1);
	CHECK_EQ(sdk.level[4], 0); /* the chip is held until core wants it */
	p->chip_reset(p->ctx, false);
	CHECK_EQ(sdk.level[4], 1);
#else
	CHECK_EQ(p->spi(p->ctx, in, out, 2), LK_EIO);
	sdk.level[4] = sdk.level[14] = 1;
	CHECK(!p->input(p->ctx, LK_INPUT_BUTTON) && p->input(p->ctx, LK_INPUT_CONTACT)); /* nothing pressed, door open or its wire cut */
	sdk.level[4] = sdk.level[14] = 0;
	CHECK(p->input(p->ctx, LK_INPUT_BUTTON) && !p->input(p->ctx, LK_INPUT_CONTACT));
#endif
	CHECK(!p->input(p->ctx, LK_INPUT_TAMPER)); /* there is no switch at this case */
}

int main(void)
{
	struct lk_port port;

	sdk.level[OUTPUT] = 1; /* whatever it was */
	if (setjmp(sdk.aborted) != 0)
		return 1;
	lk_port_esp8266_init(&port);
	test_output(&port);
	test_flash(&port);
	test_random(&port);
	test_wifi(&port);
	test_udp(&port);
	test_rest(&port);
	return check_end("test_esp8266");
}
