/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_LWIP_DNS_H
#define STUB_LWIP_DNS_H

#include "lwip/ip_addr.h"

const ip_addr_t *dns_getserver(uint8_t numdns);

#endif
