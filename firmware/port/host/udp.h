/* A UDP socket to the gateway. fd is -1 while there is none. */
#ifndef LK_HOST_UDP_H
#define LK_HOST_UDP_H

#include <stddef.h>
#include <stdint.h>

/* As udp_open, udp_send and udp_recv of port.h. */
int lk_host_udp_open(int *fd, const char *name, uint16_t port);
int lk_host_udp_send(int fd, const uint8_t *b, size_t n);
int lk_host_udp_recv(int fd, uint8_t *b, size_t cap);

/* Takes another source port, as a NAT does that forgot the old one. */
void lk_host_udp_rebind(int *fd);

#endif
