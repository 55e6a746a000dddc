/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_DRIVER_RTC_IO_H
#define STUB_DRIVER_RTC_IO_H

#include "esp_err.h"
#include "hal/gpio_types.h"

esp_err_t rtc_gpio_pullup_en(gpio_num_t gpio_num);

#endif
