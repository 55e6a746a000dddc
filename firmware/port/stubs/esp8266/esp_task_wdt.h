/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_ESP_TASK_WDT_H
#define STUB_ESP_TASK_WDT_H

#include "esp_err.h"

void esp_task_wdt_reset(void);

#endif
