/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_DRIVER_PWM_H
#define STUB_DRIVER_PWM_H

#include <stdint.h>

#include "esp_err.h"

esp_err_t pwm_init(uint32_t period, uint32_t *duties, uint8_t channel_num, const uint32_t *pin_num);
esp_err_t pwm_set_duty(uint8_t channel_num, uint32_t duty);
esp_err_t pwm_set_phase(uint8_t channel_num, float phase);
esp_err_t pwm_start(void);
esp_err_t pwm_stop(uint32_t stop_level_mask);

#endif
