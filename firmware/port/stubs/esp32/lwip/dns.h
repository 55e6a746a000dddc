/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_LWIP_DNS_H
#define STUB_LWIP_DNS_H

#include "lwip/err.h"
#include "lwip/ip_addr.h"

#define LWIP_DNS_ADDRTYPE_IPV4 0

typedef void (*dns_found_callback)(const char *name, const ip_addr_t *ipaddr, void *callback_arg);

err_t dns_gethostbyname_addrtype(const char *hostname, ip_addr_t *addr, dns_found_callback found, void *callback_arg,
				 uint8_t dns_addrtype);

#endif
