/* WiFi and the UDP socket, and what their wait needs of the rest of esp.c. */
#ifndef LK_ESP_NET_H
#define LK_ESP_NET_H

#include "esp.h"

/* Fills in port's net_join, net_ready, rssi and udp_ members. e is port's ctx, all zero where it is theirs. */
void lk_esp_net_init(struct lk_esp *e, struct lk_port *port);

/* As now of port.h. */
uint32_t lk_esp_now(void *ctx);
/* Something has come by the serial line. */
bool lk_esp_typed(void);

#endif
