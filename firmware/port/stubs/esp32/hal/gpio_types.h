/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_HAL_GPIO_TYPES_H
#define STUB_HAL_GPIO_TYPES_H

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

#endif
