/* Declarations of our own so that the port compiles without the SDK; not the SDK's headers, nothing
 * here has run on a board. */
#ifndef STUB_ESP_WIFI_DEFAULT_H
#define STUB_ESP_WIFI_DEFAULT_H

#include "esp_netif.h"

esp_netif_t *esp_netif_create_default_wifi_sta(void);

#endif
