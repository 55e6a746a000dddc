#include "lk_clock.h"

#include "freertos/FreeRTOS.h" /* first: both SDKs demand it before their other headers */
#include "esp_system.h"
#include "sdkconfig.h"

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

void lk_esp_clock_init(struct lk_port *port)
{
	port->now = lk_esp_now;
	port->boot = boot;
}
