/* The ESP8266's port with the fake SDK of sdk.c: what the port asks of the SDK, and when. This
 * proves nothing about a real chip. */
#include "check.h"
#include "err.h"
#include "esp8266/gpio_struct.h"
#include "lk_board.h"
#include "pins.h"
#include "sdk.h"
#include "tcpip_adapter.h"

/* Whether the output drives its load: the pin is driven, and is high or has PWM. */
static bool output_is_on(void)
{
	bool driven = sdk.mode[OUTPUT] == GPIO_MODE_OUTPUT && !(GPIO.enable_w1tc >> OUTPUT & 1);
	bool high = sdk.level[OUTPUT] != 0 && !(GPIO.out_w1tc >> OUTPUT & 1);
	return driven && (high || sdk.pwm); /* PWM writes the level again and again */
}

/* Runs the port's watchdog check once. Returns how often the port has aborted. */
static unsigned run_watchdog(void)
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
	CHECK(output_is_on());
	ticks(299);
	CHECK(output_is_on());
	ticks(1); /* though the loop has done nothing */
	CHECK(!output_is_on());
	p->feed(p->ctx);
	p->output(p->ctx, 100, 25);
	ticks(2);
	CHECK(output_is_on());
	ticks(1);
	CHECK(!output_is_on()); /* a pulse is rounded up to a tick, and ends */
	p->output(p->ctx, 100, 1000);
	p->output(p->ctx, 0, 0);
	CHECK(!output_is_on());
	p->output(p->ctx, 100, 0);
	p->feed(p->ctx);
	ticks(490);
	CHECK(output_is_on()); /* an output without an end stays on */
	CHECK_EQ(run_watchdog(), 0);
	ticks(11); /* the loop has hung for 5 s */
	CHECK(!output_is_on());
	CHECK_EQ(run_watchdog(), 1);
	p->feed(p->ctx);
	p->output(p->ctx, 100, 0);
	CHECK(output_is_on());
	if (setjmp(sdk.aborted) == 0)
		p->restart(p->ctx);
	CHECK(!output_is_on());
	if (!LK_DIM)
		return;
	p->output(p->ctx, 40, 100);
	CHECK(output_is_on() && sdk.pwm);
	ticks(10);
	CHECK(!output_is_on()); /* though PWM goes on writing the level */
	p->output(p->ctx, 100, 0);
	CHECK(output_is_on() && !sdk.pwm);
	p->output(p->ctx, 40, 0);
	p->output(p->ctx, 0, 0);
	CHECK(!output_is_on() && !sdk.pwm);
}

static void test_flash(const struct lk_port *p)
{
	uint8_t b[64];
	static const char secret[] = "0123456789abcdefghjkmnpqrs";

	CHECK_EQ(p->kv_get(p->own, "secret", b, sizeof b), 0);
	CHECK_EQ(p->kv_set(p->own, "secret", (const uint8_t *)secret, 26), 0);
	CHECK_EQ(sdk.commits, 1);
	CHECK(sdk_find("secret", true) >= 0); /* text, as nvs-csv makes it */
	CHECK_EQ(p->kv_get(p->own, "secret", b, 27), 26);
	CHECK(memcmp(b, secret, 26) == 0);
	CHECK_EQ(p->kv_get(p->own, "secret", b, 20), LK_ESPACE);
	CHECK_EQ(p->kv_set(p->own, "counter", (const uint8_t *)"\0\1\2", 3), 0);
	CHECK(sdk_find("counter", false) >= 0);
	CHECK_EQ(p->kv_get(p->own, "counter", b, sizeof b), 3);
	CHECK_EQ(p->kv_set(p->own, "secret", b, 0), 0);
	CHECK_EQ(p->kv_set(p->own, "secret", b, 0), 0); /* removing a missing key is no error */
	CHECK_EQ(p->kv_get(p->own, "secret", b, sizeof b), 0);
}

static void test_random(const struct lk_port *p)
{
	uint8_t a[48], b[48], before[32], after[32];

	CHECK(p->random(p->ctx, a, sizeof a) < 0); /* without a seed and a radio every byte could be guessed */
	memset(before, 1, sizeof before);
	CHECK_EQ(p->kv_set(p->own, "seed", before, sizeof before), 0);
	sdk.flash_broken = true;
	CHECK(p->random(p->ctx, a, sizeof a) < 0); /* a seed that cannot be replaced would be used twice */
	sdk.flash_broken = false;
	CHECK_EQ(p->random(p->ctx, a, sizeof a), 0);
	CHECK_EQ(p->kv_get(p->own, "seed", after, sizeof after), 32);
	CHECK(memcmp(before, after, 32) != 0);
	CHECK_EQ(p->random(p->ctx, b, sizeof b), 0);
	/* though the generator always returns the same bytes */
	CHECK(memcmp(a, b, 32) != 0 && memcmp(a, a + 32, 16) != 0);
}

static void test_wifi(const struct lk_port *p)
{
	static const char ssid[] = "thirty-two characters of a name!", password[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

	CHECK_EQ(p->net_join(p->ctx, "", ""), LK_ERANGE);
	CHECK_EQ(p->net_join(p->ctx, ssid, password), 0);
	CHECK(memcmp(sdk.sta.ssid, ssid, 32) == 0 && memcmp(sdk.sta.password, password, 64) == 0);
	CHECK_EQ(sdk.sta.threshold.authmode, WIFI_AUTH_WPA2_PSK); /* never an open network */
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

	CHECK_EQ(p->udp_send(p->own, b, sizeof b), LK_ECLOSED);
	CHECK_EQ(p->udp_open(p->own, "127.0.0.1", 5684), 0);
	CHECK_EQ(sdk.to.sin_port, 0x3416);
	CHECK_EQ(sdk.to.sin_addr.s_addr, 0x0100007f);
	CHECK_EQ(p->udp_send(p->own, b, sizeof b), 0);
	CHECK_EQ(p->udp_recv(p->own, b, sizeof b), 0);
	CHECK_EQ(p->udp_open(p->own, "gateway", 5684), LK_EIO); /* core asks for names */
	CHECK_EQ(p->udp_ask(p->own, "gateway.example", false), LK_EIO); /* whom? */
	sdk.server.addr = 0x0800a8c0;
	CHECK_EQ(p->udp_ask(p->own, "gateway.example", false), 0);
	CHECK(sdk.connected && sdk.to.sin_port == 0x3500 && sdk.to.sin_addr.s_addr == 0x0800a8c0);
	CHECK_EQ(p->udp_send(p->own, b, sizeof b), 0);
	CHECK_EQ(p->udp_ask(p->own, "gateway.local", true), 0);
	CHECK(!sdk.connected); /* anybody may answer */
	CHECK_EQ(p->udp_send(p->own, b, sizeof b), 0);
	CHECK(sdk.to.sin_port == 0xe914 && sdk.to.sin_addr.s_addr == 0xfb0000e0);
	CHECK_EQ(p->udp_open(p->own, "127.0.0.1", 5684), 0);
	CHECK_EQ(p->udp_send(p->own, b, sizeof b), 0);
	CHECK_EQ(sdk.sockets - sdk.closed, 1);
	uint32_t began = p->now(p->ctx);
	p->udp_wait(p->ctx, 50);
	CHECK(p->now(p->ctx) - began >= 50);
}

static void test_chip(const struct lk_port *p)
{
	uint8_t in[65], rx[64];

	for (size_t i = 0; i < sizeof in; i++)
		in[i] = (uint8_t)i;
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
}

static void test_inputs(const struct lk_port *p)
{
	uint8_t b[2] = {0};

	CHECK_EQ(p->spi(p->ctx, b, b, 2), LK_EIO);
	sdk.level[4] = sdk.level[14] = 1; /* nothing pressed, door open or its wire cut */
	CHECK(!p->input(p->ctx, LK_INPUT_BUTTON) && p->input(p->ctx, LK_INPUT_CONTACT));
	sdk.level[4] = sdk.level[14] = 0;
	CHECK(p->input(p->ctx, LK_INPUT_BUTTON) && !p->input(p->ctx, LK_INPUT_CONTACT));
}

/* A second node has a socket, a flash and a log of its own; the board is one. */
static void test_second_node(const struct lk_port *p)
{
	struct lk_port q = *p;
	uint8_t b[8] = {0};

	lk_esp_add_node(&q, "lock");
	CHECK(q.own != p->own && q.ctx == p->ctx);
	CHECK_EQ(q.udp_send(q.own, b, sizeof b), LK_ECLOSED);
	CHECK_EQ(q.udp_open(q.own, "127.0.0.1", 5684), 0);
	CHECK_EQ(q.udp_send(q.own, b, sizeof b), 0);
	CHECK(strcmp(sdk.opened, "latchkey-lock") == 0);
	sdk.printed[0] = '\0';
	q.log(q.own, "text", 7);
	CHECK(strcmp(sdk.printed, "lock: text 7\r\n") == 0);
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
	sdk.printed[0] = '\0';
	p->log(p->own, "text", 0);
	p->log(p->own, "number", UINT32_MAX);
	CHECK(strcmp(sdk.printed, "text 0\r\nnumber 4294967295\r\n") == 0);
	if (LK_PINS.chip_select != LK_PIN_NONE)
		test_chip(p);
	else
		test_inputs(p);
	CHECK(!p->input(p->ctx, LK_INPUT_TAMPER)); /* this board has no tamper switch */
}

int main(void)
{
	struct lk_port port;

	sdk.level[OUTPUT] = 1; /* as an earlier program left it */
	if (setjmp(sdk.aborted) != 0)
		return 1;
	lk_board_init(&port);
	test_output(&port);
	test_flash(&port);
	test_random(&port);
	test_wifi(&port);
	test_udp(&port);
	test_rest(&port);
	test_second_node(&port);
	return check_end("test_esp8266");
}
