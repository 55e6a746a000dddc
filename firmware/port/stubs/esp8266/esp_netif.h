/* Declarations of our own so that the port compiles without the SDK; not the SDK's headers, nothing
 * here has run on a board. */
#ifndef STUB_ESP_NETIF_H
#define STUB_ESP_NETIF_H

#include "esp_err.h"
#include "tcpip_adapter.h"

esp_err_t esp_netif_init(void);

#endif
