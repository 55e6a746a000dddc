/* Declarations of our own so that the port compiles without the SDK; not the SDK's headers, nothing here has run on a board. */
#ifndef STUB_FREERTOS_TASK_H
#define STUB_FREERTOS_TASK_H

#include "freertos/FreeRTOS.h"

void vTaskDelay(const TickType_t xTicksToDelay);

#endif
