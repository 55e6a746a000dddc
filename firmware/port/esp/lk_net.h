/* WiFi, and a UDP socket for each node. */
#ifndef LK_NET_H
#define LK_NET_H

#include "esp.h"

/* Fills in port's net_join, net_ready, rssi and udp_ members. */
void lk_esp_net_init(struct lk_port *port);

#endif
