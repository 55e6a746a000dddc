/*
 * Which pin of an ESP32 DevKit does what, by role. The output is the same pin in every image and low where a role has none, so a wrong
 * image keeps the door shut. GPIO27 floats until the program starts and is no strap; 0, 2, 5, 12 and 15 are straps, 1 and 3 the serial
 * line, 6 to 11 the flash's, 34 to 39 have no pull-ups and no outputs.
 */
#ifndef LK_PINS_H
#define LK_PINS_H

#define LK_PIN_OUTPUT GPIO_NUM_27 /* 10 kΩ to ground. High: the relay pulls, the lamp burns */
#define LK_PIN_LED GPIO_NUM_2     /* the module's own. High: lit */
#define LK_PIN_NONE GPIO_NUM_NC

#if LK_ROLE_READER
#define LK_PIN_CLOCK GPIO_NUM_18 /* these three are SPI3's own, which need no detour through the pin matrix */
#define LK_PIN_MISO GPIO_NUM_19
#define LK_PIN_MOSI GPIO_NUM_23
#define LK_PIN_CHIP_SELECT GPIO_NUM_21
#define LK_PIN_CHIP_RESET GPIO_NUM_22 /* 10 kΩ to ground: the chip stays off until we want it, and while we sleep */
#define LK_PIN_WAKE GPIO_NUM_33       /* to ground to end deep sleep */
#define LK_PIN_BUTTON LK_PIN_NONE
#define LK_PIN_CONTACT LK_PIN_NONE
#else
#define LK_PIN_BUTTON GPIO_NUM_32  /* to ground when pressed: a switch's, or a lock's exit button */
#define LK_PIN_CONTACT GPIO_NUM_26 /* to ground while the door is shut, so a cut wire reads as open */
#endif
#if LK_TAMPER
#define LK_PIN_TAMPER GPIO_NUM_25 /* to ground while the case is shut, likewise */
#else
#define LK_PIN_TAMPER LK_PIN_NONE
#endif

#endif
