/* Declarations of our own so that the port compiles without the SDK; not the SDK's headers, nothing
 * here has run on a board. */
#ifndef STUB_ESP_TASK_WDT_H
#define STUB_ESP_TASK_WDT_H

#include "esp_err.h"

void esp_task_wdt_reset(void);

#endif
