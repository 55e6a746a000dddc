/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_ESP_WIFI_DEFAULT_H
#define STUB_ESP_WIFI_DEFAULT_H

#include "esp_netif.h"

esp_netif_t *esp_netif_create_default_wifi_sta(void);

#endif
