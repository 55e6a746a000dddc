/* An ESP32 DevKit: the output with its timer, the card reader, the watchdog, deep sleep. */
#include <stdlib.h>
#include <string.h>

#include "driver/gpio.h"
#include "driver/ledc.h"
#include "driver/rtc_io.h"
#include "driver/spi_master.h"
#include "esp_sleep.h"
#include "esp_system.h"
#include "esp_task_wdt.h"
#include "esp_timer.h"

#include "err.h"
#include "lk_board.h"
#include "lk_gpio.h"
#include "pins.h"

enum {
	SPI_LONGEST = 64,
	DIM_HERTZ = 1000,
	DIM_FULL = 1 << 10 /* LEDC_TIMER_10_BIT */
};

struct board {
	struct lk_esp esp; /* first: the common functions' ctx */
	struct lk_port port;
	esp_timer_handle_t pulse;
	spi_device_handle_t chip; /* NULL without one */
	bool dimming;             /* the LED controller has the pin */
};

/* ---- output, its timer and the watchdog ---- */

static bool dim(struct board *b, uint8_t level)
{
	uint32_t duty = level >= 100 ? DIM_FULL : (uint32_t)level * DIM_FULL / 100;

	if (!LK_DIM)
		return false;
	if (!b->dimming) {
		ledc_timer_config_t timer;
		memset(&timer, 0, sizeof timer);
		timer.speed_mode = LEDC_LOW_SPEED_MODE;
		timer.duty_resolution = LEDC_TIMER_10_BIT;
		timer.timer_num = LEDC_TIMER_0;
		timer.freq_hz = DIM_HERTZ;
		timer.clk_cfg = LEDC_AUTO_CLK;
		ledc_channel_config_t channel;
		memset(&channel, 0, sizeof channel);
		channel.gpio_num = LK_PIN_OUTPUT;
		channel.speed_mode = LEDC_LOW_SPEED_MODE;
		channel.channel = LEDC_CHANNEL_0;
		channel.timer_sel = LEDC_TIMER_0;
		b->dimming = ledc_timer_config(&timer) == ESP_OK && ledc_channel_config(&channel) == ESP_OK;
	}
	return b->dimming && ledc_set_duty(LEDC_LOW_SPEED_MODE, LEDC_CHANNEL_0, duty) == ESP_OK &&
	       ledc_update_duty(LEDC_LOW_SPEED_MODE, LEDC_CHANNEL_0) == ESP_OK;
}

static void off(const struct board *b)
{
	if (b->dimming)
		(void)ledc_stop(LEDC_LOW_SPEED_MODE, LEDC_CHANNEL_0, 0);
	else
		(void)gpio_set_level(LK_PIN_OUTPUT, 0);
}

/* In esp_timer's own task, far above the loop's. */
static void on_pulse_end(void *arg) { off(arg); }

static void output(void *ctx, uint8_t level, uint32_t ms)
{
	struct board *b = ctx;

	(void)esp_timer_stop(b->pulse);
	if (level == 0 || (ms > 0 && esp_timer_start_once(b->pulse, (uint64_t)ms * 1000) != ESP_OK)) {
		off(b); /* the output must never be on without its timer */
		return;
	}
	if (!dim(b, level))
		(void)gpio_set_level(LK_PIN_OUTPUT, 1);
}

/* Called by the watchdog before it restarts the board. */
void esp_task_wdt_isr_user_handler(void);

void esp_task_wdt_isr_user_handler(void) { (void)gpio_set_level(LK_PIN_OUTPUT, 0); }

static void feed(void *ctx)
{
	(void)ctx;
	(void)esp_task_wdt_reset();
}

/* ---- the card reader ---- */

static int spi(void *ctx, const uint8_t *tx, uint8_t *rx, size_t n)
{
	const struct board *b = ctx;
	uint32_t out[SPI_LONGEST / 4], in[SPI_LONGEST / 4]; /* the driver wants words of its own */
	spi_transaction_t t;

	if (n < 2 || n > SPI_LONGEST)
		return LK_ERANGE;
	if (b->chip == NULL)
		return LK_EIO;
	memcpy(out, tx, n);
	memset(&t, 0, sizeof t);
	t.length = n * 8;
	t.tx_buffer = out;
	t.rx_buffer = in;
	esp_err_t err = spi_device_polling_transmit(b->chip, &t);
	if (err == ESP_OK)
		memcpy(rx, in, n);
	memset(out, 0, sizeof out);
	memset(in, 0, sizeof in);
	return err == ESP_OK ? 0 : LK_EIO;
}

static void set_up_chip(struct board *b)
{
	spi_bus_config_t bus;
	spi_device_interface_config_t device;
	const struct lk_esp_pins *pins = b->esp.pins;

	if (pins->chip_select == LK_PIN_NONE)
		return;
	memset(&bus, 0, sizeof bus);
	bus.mosi_io_num = pins->mosi;
	bus.miso_io_num = pins->miso;
	bus.sclk_io_num = pins->clock;
	bus.quadwp_io_num = -1;
	bus.quadhd_io_num = -1;
	bus.data4_io_num = -1;
	bus.data5_io_num = -1;
	bus.data6_io_num = -1;
	bus.data7_io_num = -1;
	bus.max_transfer_sz = SPI_LONGEST;
	memset(&device, 0, sizeof device);
	device.clock_speed_hz = 4000000; /* the chip takes 10 MHz, a hand's length of wire does not */
	device.spics_io_num = pins->chip_select;
	device.queue_size = 1;
	if (spi_bus_initialize(SPI3_HOST, &bus, SPI_DMA_DISABLED) != ESP_OK ||
		spi_bus_add_device(SPI3_HOST, &device, &b->chip) != ESP_OK)
		b->chip = NULL;
}

static void set_up_wake(int pin)
{
	if (pin == LK_PIN_NONE)
		return;
	(void)rtc_gpio_pullup_en((gpio_num_t)pin);
	(void)esp_sleep_enable_ext0_wakeup((gpio_num_t)pin, 0);
}

/* ---- power ---- */

static uint32_t voltage(void *ctx)
{
	(void)ctx;
	return 0;
}

static void restart(void *ctx)
{
	output(ctx, 0, 0);
	esp_restart();
}

static void deep_sleep(void *ctx, uint32_t ms)
{
	struct board *b = ctx;

	output(b, 0, 0);
	b->port.chip_reset(b, true);
	b->port.led(b, false);
	set_up_wake(b->esp.pins->wake);
	esp_deep_sleep((uint64_t)ms * 1000);
}

void lk_board_init(struct lk_port *port)
{
	static struct board board;
	struct board *b = &board;

	(void)gpio_set_level(LK_PIN_OUTPUT, 0);
	lk_esp_set_up_pin(LK_PIN_OUTPUT, GPIO_MODE_OUTPUT, GPIO_PULLUP_DISABLE);

	lk_esp_init(&b->esp, &b->port, &LK_PINS);
	b->port.spi = spi;
	b->port.output = output;
	b->port.voltage = voltage;
	b->port.feed = feed;
	b->port.restart = restart;
	b->port.sleep = deep_sleep;
	*port = b->port;
	set_up_chip(b);

	/* Without its timers a board could open a door or hang for ever, so do not start at all. */
	const esp_timer_create_args_t pulse = {
		.callback = on_pulse_end, .arg = b, .dispatch_method = ESP_TIMER_TASK, .name = "pulse"};
	if (esp_timer_create(&pulse, &b->pulse) != ESP_OK || esp_task_wdt_add(NULL) != ESP_OK)
		abort();
}
