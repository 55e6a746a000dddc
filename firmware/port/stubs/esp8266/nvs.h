/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_NVS_H
#define STUB_NVS_H

#include <stddef.h>
#include <stdint.h>

#include "esp_err.h"

typedef uint32_t nvs_handle;

#define ESP_ERR_NVS_BASE 0x1100
#define ESP_ERR_NVS_NOT_FOUND (ESP_ERR_NVS_BASE + 0x02)
#define ESP_ERR_NVS_INVALID_LENGTH (ESP_ERR_NVS_BASE + 0x0c)

typedef enum { NVS_READONLY, NVS_READWRITE } nvs_open_mode;

esp_err_t nvs_open(const char *name, nvs_open_mode open_mode, nvs_handle *out_handle);
esp_err_t nvs_set_str(nvs_handle handle, const char *key, const char *value);
esp_err_t nvs_set_blob(nvs_handle handle, const char *key, const void *value, size_t length);
esp_err_t nvs_get_str(nvs_handle handle, const char *key, char *out_value, size_t *length);
esp_err_t nvs_get_blob(nvs_handle handle, const char *key, void *out_value, size_t *length);
esp_err_t nvs_erase_key(nvs_handle handle, const char *key);
esp_err_t nvs_commit(nvs_handle handle);

#endif
