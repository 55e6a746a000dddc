/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_ESP_EVENT_H
#define STUB_ESP_EVENT_H

#include <stdint.h>

#include "esp_err.h"
#include "esp_event_base.h"

esp_err_t esp_event_loop_create_default(void);
esp_err_t esp_event_handler_register(esp_event_base_t event_base, int32_t event_id, esp_event_handler_t event_handler,
				     void *event_handler_arg);

#endif
