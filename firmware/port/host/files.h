/* State that survives the process, as files in the current directory: flash, RTC memory and why
 * the next process starts. */
#ifndef LK_HOST_FILES_H
#define LK_HOST_FILES_H

#include "port.h"

/* As kv_get and kv_set of port.h, for the node of that name; "" is the first. */
int lk_host_kv_get(const char *node, const char *key, uint8_t *b, size_t cap);
int lk_host_kv_set(const char *node, const char *key, const uint8_t *b, size_t n);
/* As rtc_get and rtc_set. */
int lk_host_rtc_get(void *ctx, uint8_t *b, size_t n);
int lk_host_rtc_set(void *ctx, const uint8_t *b, size_t n);

/* The next process starts as if by why. Without that the process ends here, with LK_HOST_FAILED. */
void lk_host_leave_boot(enum lk_boot why);
/* Returns boot if it is not NULL, else the reason that the process before left, and removes it:
 * an enum lk_boot, or LK_ERANGE. */
int lk_host_boot_reason(const char *boot);

#endif
