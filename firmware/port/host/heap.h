/* The heap's figures, and its limit. lk_port_calloc and lk_port_free are here too. */
#ifndef LK_HOST_HEAP_H
#define LK_HOST_HEAP_H

#include <stddef.h>

struct lk_host_heap {
	size_t now, peak;     /* bytes asked for */
	unsigned long allocs; /* so far */
};
struct lk_host_heap lk_host_heap(void);
/* An allocation that would bring the bytes asked for above limit fails; 0: no limit but the
 * memory. */
void lk_host_heap_limit(size_t limit);

#endif
