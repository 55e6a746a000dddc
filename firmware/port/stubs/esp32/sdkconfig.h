/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_SDKCONFIG_H
#define STUB_SDKCONFIG_H

#define CONFIG_IDF_TARGET_ESP32 1

#endif
