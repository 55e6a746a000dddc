/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_NVS_FLASH_H
#define STUB_NVS_FLASH_H

#include "nvs.h"

esp_err_t nvs_flash_init(void);

#endif
