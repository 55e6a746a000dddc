/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_FREERTOS_QUEUE_H
#define STUB_FREERTOS_QUEUE_H

#ifndef STUB_FREERTOS_FREERTOS_H
#error "include FreeRTOS.h first: the SDK demands it"
#endif

typedef struct QueueDefinition *QueueHandle_t;

#endif
