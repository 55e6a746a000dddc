/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_LWIP_TCPIP_H
#define STUB_LWIP_TCPIP_H

#include "lwip/err.h"

typedef void (*tcpip_callback_fn)(void *ctx);

err_t tcpip_callback(tcpip_callback_fn function, void *ctx);

#endif
