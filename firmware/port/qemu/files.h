/* Files of the host in the current directory, and a node's flash among them. */
#ifndef LK_FILES_H
#define LK_FILES_H

#include <stddef.h>
#include <stdint.h>

/* What goes through semihosting: within one page of 4 KiB, so that a datagram stays one. Each
 * function here makes use of it. */
extern uint8_t rt_page[2048];

/* flags are those of simcall.h. The descriptor, or below 0. */
int rt_file_open(const char *name, int flags);
/* The file, as far as there is room, into rt_page: its length, or LK_ENONE if there is none. */
int rt_file_read(const char *name);
/* b may be rt_page; how is any of SIM_TRUNC and SIM_DSYNC. */
int rt_file_write(const char *name, int how, const void *b, size_t n);

/* As kv_get and kv_set of port.h, for the node of that name; "" is the first. */
int rt_key_get(const char *node, const char *key, uint8_t *b, size_t cap);
int rt_key_set(const char *node, const char *key, const uint8_t *b, size_t n);

#endif
