/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_ESP_SLEEP_H
#define STUB_ESP_SLEEP_H

#include <stdint.h>

#include "esp_err.h"
#include "hal/gpio_types.h"

esp_err_t esp_sleep_enable_ext0_wakeup(gpio_num_t gpio_num, int level);
void esp_deep_sleep(uint64_t time_in_us) __attribute__((__noreturn__));

#endif
