/* A UDP socket to the gateway, or for a question about its name. fd is -1 while there is none. */
#ifndef LK_HOST_UDP_H
#define LK_HOST_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As udp_open, udp_ask, udp_send and udp_recv of port.h. The DNS server is the first one in
 * /etc/resolv.conf; "localhost" is not asked for. */
int lk_host_udp_open(int *fd, const char *name, uint16_t port);
int lk_host_udp_ask(int *fd, const char *name, bool local);
int lk_host_udp_send(int fd, const uint8_t *b, size_t n);
int lk_host_udp_recv(int fd, uint8_t *b, size_t cap);

/* Takes another source port, as a NAT does that forgot the old one. */
void lk_host_udp_rebind(int *fd);

#endif
