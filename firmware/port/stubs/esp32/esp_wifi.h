/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_ESP_WIFI_H
#define STUB_ESP_WIFI_H

#include <stdbool.h>
#include <stdint.h>

#include "esp_err.h"
#include "esp_event.h"
#include "esp_wifi_default.h"

typedef enum { WIFI_MODE_NULL, WIFI_MODE_STA, WIFI_MODE_AP, WIFI_MODE_APSTA } wifi_mode_t;
typedef enum { WIFI_AUTH_OPEN, WIFI_AUTH_WEP, WIFI_AUTH_WPA_PSK, WIFI_AUTH_WPA2_PSK } wifi_auth_mode_t;
typedef enum { WIFI_PS_NONE, WIFI_PS_MIN_MODEM, WIFI_PS_MAX_MODEM } wifi_ps_type_t;
typedef enum { WIFI_STORAGE_FLASH, WIFI_STORAGE_RAM } wifi_storage_t;
typedef enum { WIFI_FAST_SCAN, WIFI_ALL_CHANNEL_SCAN } wifi_scan_method_t;
typedef enum { WIFI_CONNECT_AP_BY_SIGNAL, WIFI_CONNECT_AP_BY_SECURITY } wifi_sort_method_t;
typedef enum { ESP_IF_WIFI_STA, ESP_IF_WIFI_AP } esp_interface_t;
typedef enum { WIFI_IF_STA = ESP_IF_WIFI_STA, WIFI_IF_AP = ESP_IF_WIFI_AP } wifi_interface_t;

ESP_EVENT_DECLARE_BASE(WIFI_EVENT);
typedef enum {
	WIFI_EVENT_WIFI_READY,
	WIFI_EVENT_SCAN_DONE,
	WIFI_EVENT_STA_START,
	WIFI_EVENT_STA_STOP,
	WIFI_EVENT_STA_CONNECTED,
	WIFI_EVENT_STA_DISCONNECTED,
} wifi_event_t;

/* Members that the port uses, in their order; the SDK has more between them. */
typedef struct {
	int nvs_enable;
	int magic;
} wifi_init_config_t;
#define WIFI_INIT_CONFIG_DEFAULT() {.nvs_enable = 1, .magic = 0x1F2F3F4F}

typedef struct {
	int8_t rssi;
	wifi_auth_mode_t authmode;
} wifi_scan_threshold_t;

typedef struct {
	bool capable;
	bool required;
} wifi_pmf_config_t;

typedef struct {
	uint8_t ssid[32];
	uint8_t password[64];
	wifi_scan_method_t scan_method;
	bool bssid_set;
	uint8_t bssid[6];
	uint8_t channel;
	uint16_t listen_interval;
	wifi_sort_method_t sort_method;
	wifi_scan_threshold_t threshold;
	wifi_pmf_config_t pmf_cfg;
} wifi_sta_config_t;

typedef union {
	wifi_sta_config_t sta;
} wifi_config_t;

typedef struct {
	uint8_t bssid[6];
	uint8_t ssid[33];
	uint8_t primary;
	int8_t rssi;
} wifi_ap_record_t;

esp_err_t esp_wifi_init(const wifi_init_config_t *config);
esp_err_t esp_wifi_set_mode(wifi_mode_t mode);
esp_err_t esp_wifi_start(void);
esp_err_t esp_wifi_connect(void);
esp_err_t esp_wifi_disconnect(void);
esp_err_t esp_wifi_sta_get_ap_info(wifi_ap_record_t *ap_info);
esp_err_t esp_wifi_set_ps(wifi_ps_type_t type);
esp_err_t esp_wifi_set_config(wifi_interface_t interface, wifi_config_t *conf);
esp_err_t esp_wifi_set_storage(wifi_storage_t storage);

#endif
