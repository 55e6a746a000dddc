/*
 * Which pin of a NodeMCU does what, by role. README.md has the wiring, and why.
 *
 * GPIO5 is the output in every image, driven low where a role has none: so a reader's image on a lock's board keeps the door shut. Of all
 * pins only 4 and 5 float from power-on to the program's start, so only there can a resistor to ground hold a relay off. 0, 1, 2, 3, 12,
 * 13, 14 and 16 are high then, 15 low with a glitch; 6 to 11 are the flash's.
 */
#ifndef LK_PINS_H
#define LK_PINS_H

#define LK_PIN_OUTPUT GPIO_NUM_5 /* D1. 10 kΩ to ground. High: the relay pulls, the lamp burns */
#define LK_PIN_LED GPIO_NUM_2    /* D4, the module's own. Low: lit. Must be high at power-on, and an LED to 3.3 V leaves it so */
#define LK_PIN_NONE (-1)

#if LK_ROLE_READER
/* The card reader at HSPI, whose clock, MISO and MOSI are fixed: 14 (D5), 12 (D6), 13 (D7). */
#define LK_PIN_CHIP_SELECT GPIO_NUM_15 /* D8. Low at power-on: selected, but without a clock that does nothing */
#define LK_PIN_CHIP_RESET GPIO_NUM_4   /* D2. 10 kΩ to ground: the chip stays off until we want it, and while we sleep */
#define LK_PIN_BUTTON LK_PIN_NONE
#define LK_PIN_CONTACT LK_PIN_NONE
#if LK_TAMPER && !LK_BATTERY
#define LK_PIN_TAMPER GPIO_NUM_16 /* D0, to ground while the case is shut; it has no pull-up inside: 10 kΩ to 3.3 V */
#else
#define LK_PIN_TAMPER LK_PIN_NONE /* in a battery reader GPIO16 goes to RST, to end deep sleep */
#endif
#else
#define LK_PIN_BUTTON GPIO_NUM_4   /* D2, to ground when pressed: a switch's, or a lock's exit button */
#define LK_PIN_CONTACT GPIO_NUM_14 /* D5, to ground while the door is shut, so a cut wire reads as open */
#if LK_TAMPER
#define LK_PIN_TAMPER GPIO_NUM_12  /* D6, to ground while the case is shut, likewise */
#else
#define LK_PIN_TAMPER LK_PIN_NONE
#endif
#endif

#endif
