/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_DRIVER_ADC_H
#define STUB_DRIVER_ADC_H

#include <stdint.h>

#include "esp_err.h"

typedef enum { ADC_READ_TOUT_MODE, ADC_READ_VDD_MODE } adc_mode_t;

typedef struct {
	adc_mode_t mode;
	uint8_t clk_div;
} adc_config_t;

esp_err_t adc_read(uint16_t *data);
esp_err_t adc_init(adc_config_t *config);

#endif
