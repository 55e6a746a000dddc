/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_LWIP_IP_ADDR_H
#define STUB_LWIP_IP_ADDR_H

#include <stdint.h>

typedef struct ip4_addr {
	uint32_t addr;
} ip4_addr_t;

typedef ip4_addr_t ip_addr_t;
#define ip_2_ip4(ipaddr) (ipaddr)
#define IP_IS_V4(ipaddr) 1

int ip4addr_aton(const char *cp, ip4_addr_t *addr);

#endif
