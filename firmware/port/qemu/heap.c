/* First fit over blocks in the order of their addresses, neighbours that are free joined: small,
 * and the same on every run. */
#include <string.h>
#include "port.h"
#include "rt.h"

struct block {
	uint32_t size : 31; /* with this header, a multiple of 8 */
	uint32_t used : 1;
	uint32_t asked;
};

extern uint8_t __heap_start[], __heap_size[]; /* the size is the second one's address: a multiple of 8 */

static struct {
	struct rt_heap figures;
	uint32_t limit;
	bool ready;
} heap;

static struct block *at(uint8_t *p)
{
	return (struct block *)(void *)p;
}

static struct block *after(struct block *b)
{
	return at((uint8_t *)b + b->size);
}

/* Cuts need bytes off the free block b and leaves the rest free. */
static void take(struct block *b, uint32_t need, uint32_t asked)
{
	uint32_t rest = b->size - need, top;

	if (rest > sizeof *b) {
		b->size = need & 0x7FFFFFFF;
		*after(b) = (struct block){.size = rest & 0x7FFFFFFF};
	}
	b->used = 1;
	b->asked = asked;
	heap.figures.number++;
	heap.figures.now += asked;
	if (heap.figures.now > heap.figures.peak) {
		heap.figures.peak = heap.figures.now;
	}
	top = (uint32_t)((uint8_t *)after(b) - __heap_start);
	if (top > heap.figures.arena) {
		heap.figures.arena = top;
	}
}

void *lk_port_calloc(size_t n, size_t size)
{
	uint32_t all = (uint32_t)__heap_size, asked = n * size, need = (asked + sizeof(struct block) + 7) & ~7u;
	struct block *b = at(__heap_start);

	if (!heap.ready) {
		heap.ready = true;
		*b = (struct block){.size = all & 0x7FFFFFFF};
	}
	if ((size != 0 && n > all / size) || (heap.limit != 0 && heap.figures.now + asked > heap.limit)) {
		return NULL;
	}
	for (; b != at(__heap_start + all); b = after(b)) {
		if (!b->used && b->size >= need) {
			take(b, need, asked);
			return memset(b + 1, 0, asked);
		}
	}
	return NULL;
}

void lk_port_free(void *p)
{
	struct block *b = at(__heap_start), *end = at(__heap_start + (uint32_t)__heap_size), *next;

	if (p == NULL) {
		return;
	}
	heap.figures.now -= ((struct block *)p - 1)->asked;
	((struct block *)p - 1)->used = 0;
	for (; b != end; b = next) {
		next = after(b);
		if (!b->used && next != end && !next->used) {
			b->size = (b->size + next->size) & 0x7FFFFFFF;
			next = b;
		}
	}
}

struct rt_heap rt_heap(void)
{
	return heap.figures;
}

void rt_heap_limit(uint32_t limit)
{
	heap.limit = limit;
}
