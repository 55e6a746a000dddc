#include "heap.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "port.h"

static struct lk_host_heap heap;
static size_t limit; /* 0: none */

/* Each block has its requested size in front of it. */
union block {
	size_t n;
	max_align_t align;
};

void *lk_port_calloc(size_t n, size_t size)
{
	union block *b;

	if (size != 0 && n > (SIZE_MAX - sizeof *b) / size) {
		return NULL;
	}
	n *= size;
	if (limit != 0 && heap.now + n > limit) {
		return NULL;
	}
	b = calloc(1, sizeof *b + n);
	if (b == NULL) {
		return NULL;
	}
	b->n = n;
	heap.now += n;
	heap.allocs++;
	if (heap.now > heap.peak) {
		heap.peak = heap.now;
	}
	return b + 1;
}

void lk_port_free(void *p)
{
	union block *b = p;

	if (b != NULL) {
		b--;
		heap.now -= b->n;
		free(b);
	}
}

struct lk_host_heap lk_host_heap(void)
{
	return heap;
}

void lk_host_heap_limit(size_t bytes)
{
	limit = bytes;
}
