/* An ESP8266 board, as NodeMCU or D1 mini: the output with its timer, the card reader, the
 * watchdog, the power. */
#include <stdbool.h> /* driver/hw_timer.h needs it */
#include <stdlib.h>
#include <string.h>

#include "freertos/FreeRTOS.h"
#include "driver/adc.h"
#include "driver/gpio.h"
#include "driver/hw_timer.h"
#include "driver/pwm.h"
#include "driver/spi.h"
#include "esp8266/gpio_struct.h"
#include "esp8266/spi_struct.h"
#include "esp_attr.h"
#include "esp_sleep.h"
#include "esp_system.h"
#include "esp_task_wdt.h"
#include "freertos/task.h"

#include "err.h"
#include "lk_board.h"
#include "lk_gpio.h"
#include "pins.h"

enum {
	TICK = 10,        /* ms between two interrupts of the hardware timer */
	WATCHDOG = 5000,  /* ms */
	PWM_PERIOD = 1000 /* µs */
};

struct board {
	struct lk_esp esp; /* first: the common functions' ctx */
	struct lk_port port;
	bool chip;         /* the SPI driver is there */
	bool adc;
	bool dimming;      /* the PWM driver is there */
	volatile uint32_t hold; /* ticks until the output is switched off; 0: none */
	volatile uint32_t unfed; /* ticks since the loop last fed the watchdog */
};

/* ---- output, its timer and the watchdog ---- */

/* Sets the pin low and then stops driving it. PWM can still write its level but not drive it,
 * and the resistor holds the pin low. This writes the peripheral's registers directly, because
 * an interrupt must not call code in flash while flash is written. */
static void IRAM_ATTR let_go(void)
{
	GPIO.out_w1tc = 1u << LK_PIN_OUTPUT;
	GPIO.enable_w1tc = 1u << LK_PIN_OUTPUT;
}

/* Called by the hardware timer's interrupt, whatever the tasks do. */
static void IRAM_ATTR on_tick(void *arg)
{
	struct board *b = arg;
	uint32_t hold = b->hold, unfed = b->unfed;

	if (hold > 0) {
		b->hold = hold - 1;
		if (hold == 1)
			let_go();
	}
	if (unfed < WATCHDOG / TICK)
		b->unfed = unfed + 1;
	else
		let_go();
}

/* An interrupt cannot restart the board, so this runs in a task with a higher priority than the
 * loop. abort restarts the board as after a crash, and esp_reset_reason reports that at the next
 * start. If even this task hangs, the chip's own watchdog restarts the board. */
static void look_after_loop(void *arg)
{
	const struct board *b = arg;

	if (b->unfed >= WATCHDOG / TICK)
		abort();
}

static void feed(void *ctx)
{
	((struct board *)ctx)->unfed = 0;
	esp_task_wdt_reset();
}

/* True if the PWM driver has the pin from now on; never on a board without it. */
static bool dim(struct board *b, uint8_t level)
{
	uint32_t duty = (uint32_t)level * PWM_PERIOD / 100;
	const uint32_t pin = LK_PIN_OUTPUT;

	if (!LK_DIM)
		return false;
	if (level == 0 || level >= 100) {
		if (b->dimming)
			(void)pwm_stop(0);
		return false;
	}
	if (!b->dimming)
		b->dimming = pwm_init(PWM_PERIOD, &duty, 1, &pin) == ESP_OK;
	/* The driver does not initialise the phase. */
	return b->dimming && pwm_set_duty(0, duty) == ESP_OK && pwm_set_phase(0, 0) == ESP_OK &&
	       pwm_start() == ESP_OK;
}

static void output(void *ctx, uint8_t level, uint32_t ms)
{
	struct board *b = ctx;

	b->hold = 0;
	if (level == 0) {
		(void)dim(b, 0);
		(void)gpio_set_level(LK_PIN_OUTPUT, 0);
		(void)gpio_set_direction(LK_PIN_OUTPUT, GPIO_MODE_OUTPUT);
		return;
	}
	b->hold = ms / TICK + (ms % TICK != 0); /* before the pin: never on without a timer */
	if (!dim(b, level))
		(void)gpio_set_level(LK_PIN_OUTPUT, 1);
	(void)gpio_set_direction(LK_PIN_OUTPUT, GPIO_MODE_OUTPUT);
}

/* ---- the card reader ---- */

static bool spi_set_up(void)
{
	spi_config_t c;

	memset(&c, 0, sizeof c);
	/* mode 0, and the highest bit first, whatever the names of its two bit orders say */
	c.interface.val = SPI_DEFAULT_INTERFACE;
	/* the chip select must stay low from the address to the last byte; we do that */
	c.interface.cs_en = 0;
	c.mode = SPI_MASTER_MODE;
	c.clk_div = SPI_4MHz_DIV; /* the chip takes 10 MHz, a hand's length of wire does not */
	return spi_init(HSPI_HOST, &c) == ESP_OK;
}

static int spi(void *ctx, const uint8_t *tx, uint8_t *rx, size_t n)
{
	const struct board *b = ctx;
	uint32_t words[16];
	spi_trans_t t;

	if (n < 2 || n > sizeof words)
		return LK_ERANGE;
	if (!b->chip)
		return LK_EIO;
	memset(words, 0, sizeof words);
	memcpy(words, tx, n);
	memset(&t, 0, sizeof t);
	t.mosi = words;
	t.bits.mosi = (n * 8) & 0x3ff;
	/* Full duplex: received bytes land in the same sixteen words as sent bytes. With bits.miso
	 * the driver would also set usr_miso, which receives in a separate phase after sending. So
	 * we only send, and then read what was received meanwhile. */
	SPI1.user1.usr_miso_bitlen = (n * 8 - 1) & 0x1ff;
	gpio_num_t select = (gpio_num_t)b->esp.pins->chip_select;
	(void)gpio_set_level(select, 0);
	esp_err_t err = spi_trans(HSPI_HOST, &t);
	if (err == ESP_OK) {
		while (SPI1.cmd.usr)
			;
		for (size_t i = 0; i < (n + 3) / 4; i++)
			words[i] = SPI1.data_buf[i];
	}
	(void)gpio_set_level(select, 1);
	memcpy(rx, words, n);
	memset(words, 0, sizeof words);
	return err == ESP_OK ? 0 : LK_EIO;
}

static void set_up_chip(struct board *b)
{
	int pin = b->esp.pins->chip_select;

	if (pin == LK_PIN_NONE)
		return;
	(void)gpio_set_level((gpio_num_t)pin, 1);
	lk_esp_set_up_pin(pin, GPIO_MODE_OUTPUT, GPIO_PULLUP_DISABLE);
	b->chip = spi_set_up();
}

/* ---- power ---- */

static uint32_t voltage(void *ctx)
{
	const struct board *b = ctx;
	uint16_t mv;

	return b->adc && b->esp.radio && adc_read(&mv) == ESP_OK && mv != UINT16_MAX ? mv : 0;
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
	esp_deep_sleep((uint64_t)ms * 1000);
	for (;;)
		vTaskDelay(1); /* until it does; should it not, the watchdog ends this */
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

	adc_config_t adc = {.mode = ADC_READ_VDD_MODE, .clk_div = 8};
	b->adc = adc_init(&adc) == ESP_OK;

	/* Without its timers a board could open a door or hang for ever, so do not start at all. */
	const esp_timer_create_args_t watch = {
		.callback = look_after_loop, .arg = b, .dispatch_method = ESP_TIMER_TASK, .name = "watch"};
	esp_timer_handle_t timer;
	if (hw_timer_init(on_tick, b) != ESP_OK || hw_timer_alarm_us(TICK * 1000, true) != ESP_OK ||
	    esp_timer_create(&watch, &timer) != ESP_OK || esp_timer_start_periodic(timer, 500000) != ESP_OK)
		abort();
}
