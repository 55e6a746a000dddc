/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_ESP_SLEEP_H
#define STUB_ESP_SLEEP_H

#include <stdint.h>

void esp_deep_sleep(uint64_t time_in_us);

#endif
