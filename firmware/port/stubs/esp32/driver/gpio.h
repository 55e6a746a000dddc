/* Declarations of our own so that the port compiles without the SDK; not the SDK's headers, nothing here has run on a board. */
#ifndef STUB_DRIVER_GPIO_H
#define STUB_DRIVER_GPIO_H

#include <stdint.h>

#include "esp_err.h"

typedef enum {
	GPIO_NUM_NC = -1,
	GPIO_NUM_2 = 2,
	GPIO_NUM_18 = 18,
	GPIO_NUM_19 = 19,
	GPIO_NUM_21 = 21,
	GPIO_NUM_22 = 22,
	GPIO_NUM_23 = 23,
	GPIO_NUM_25 = 25,
	GPIO_NUM_26 = 26,
	GPIO_NUM_27 = 27,
	GPIO_NUM_32 = 32,
	GPIO_NUM_33 = 33,
} gpio_num_t;

typedef enum { GPIO_INTR_DISABLE } gpio_int_type_t;
typedef enum { GPIO_MODE_DISABLE = 0, GPIO_MODE_INPUT = 1, GPIO_MODE_OUTPUT = 2 } gpio_mode_t;
typedef enum { GPIO_PULLUP_DISABLE, GPIO_PULLUP_ENABLE } gpio_pullup_t;
typedef enum { GPIO_PULLDOWN_DISABLE, GPIO_PULLDOWN_ENABLE } gpio_pulldown_t;

typedef struct {
	uint64_t pin_bit_mask;
	gpio_mode_t mode;
	gpio_pullup_t pull_up_en;
	gpio_pulldown_t pull_down_en;
	gpio_int_type_t intr_type;
} gpio_config_t;

esp_err_t gpio_config(const gpio_config_t *gpio_cfg);
esp_err_t gpio_set_level(gpio_num_t gpio_num, uint32_t level);
int gpio_get_level(gpio_num_t gpio_num);
esp_err_t gpio_set_direction(gpio_num_t gpio_num, gpio_mode_t mode);

#endif
