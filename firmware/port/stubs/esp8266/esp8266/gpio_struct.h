/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_ESP8266_GPIO_STRUCT_H
#define STUB_ESP8266_GPIO_STRUCT_H

#include <stdint.h>

typedef struct {
	volatile const uint32_t out;
	volatile uint32_t out_w1ts;
	volatile uint32_t out_w1tc;
	volatile const uint32_t enable;
	volatile uint32_t enable_w1ts;
	volatile uint32_t enable_w1tc;
} gpio_struct_t;

extern volatile gpio_struct_t GPIO;

#endif
