/* The pins that both chips move alike: the light, the inputs and the card reader's reset. */
#ifndef LK_GPIO_H
#define LK_GPIO_H

#include "driver/gpio.h"

#include "esp.h"

/* Makes a pin an input or an output. Nothing for LK_PIN_NONE. */
void lk_esp_set_up_pin(int pin, gpio_mode_t mode, gpio_pullup_t pull_up);

/* Sets up the pins of e, the chip held in its reset, and fills in port's input, led and
 * chip_reset. */
void lk_esp_gpio_init(struct lk_esp *e, struct lk_port *port);

#endif
