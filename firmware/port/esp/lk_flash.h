/* Memory that survives a restart: flash by key, and RTC memory. */
#ifndef LK_FLASH_H
#define LK_FLASH_H

#include "esp.h"

/* Opens a node's flash. On failure the node reports that flash cannot be read, and stays shut. */
void lk_esp_flash_open(struct lk_esp_node *n);

/* As kv_get and kv_set of port.h. */
int lk_esp_kv_get(void *own, const char *key, uint8_t *b, size_t cap);
int lk_esp_kv_set(void *own, const char *key, const uint8_t *b, size_t n);

/* Fills in port's kv_ and rtc_ members. */
void lk_esp_flash_init(struct lk_port *port);

#endif
