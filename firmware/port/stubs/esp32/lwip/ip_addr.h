/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_LWIP_IP_ADDR_H
#define STUB_LWIP_IP_ADDR_H

#include <stddef.h>
#include <stdint.h>

typedef struct ip4_addr {
	uint32_t addr;
} ip4_addr_t;

typedef struct ip_addr {
	union {
		uint32_t ip6[5];
		ip4_addr_t ip4;
	} u_addr;
	uint8_t type;
} ip_addr_t;
#define ip_2_ip4(ipaddr) (&((ipaddr)->u_addr.ip4))
#define IP_IS_V4(ipaddr) (((ipaddr) == NULL) || (ipaddr)->type == 0)

int ip4addr_aton(const char *cp, ip4_addr_t *addr);

#endif
