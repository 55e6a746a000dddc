/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_DRIVER_HW_TIMER_H
#define STUB_DRIVER_HW_TIMER_H

#include <stdint.h>

#include "esp_err.h"

typedef void (*hw_timer_callback_t)(void *arg);

esp_err_t hw_timer_init(hw_timer_callback_t callback, void *arg);
esp_err_t hw_timer_alarm_us(uint32_t value, bool reload);

#endif
