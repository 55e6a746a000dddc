/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_FREERTOS_FREERTOS_H
#define STUB_FREERTOS_FREERTOS_H

#include <stdint.h>

typedef uint32_t TickType_t;

#define configTICK_RATE_HZ ((TickType_t)100)
#define portTICK_PERIOD_MS ((TickType_t)1000 / configTICK_RATE_HZ)

extern void vPortEnterCritical(void);
extern void vPortExitCritical(void);
#define portENTER_CRITICAL() vPortEnterCritical()
#define portEXIT_CRITICAL() vPortExitCritical()

#endif
