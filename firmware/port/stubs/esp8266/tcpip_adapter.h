/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_TCPIP_ADAPTER_H
#define STUB_TCPIP_ADAPTER_H

#include <stdint.h>

#include "esp_event_base.h"

ESP_EVENT_DECLARE_BASE(IP_EVENT);
typedef enum { IP_EVENT_STA_GOT_IP, IP_EVENT_STA_LOST_IP } ip_event_t;

#endif
