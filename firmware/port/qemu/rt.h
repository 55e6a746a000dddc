/*
 * What the port in QEMU and its smoke test stand on: the count of instructions, the timer with its
 * interrupt, lines at stdout, the heap's figures. One program has one of each.
 */
#ifndef LK_RT_H
#define LK_RT_H

#define RT_INTERRUPT_STACK 1024

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The count of instructions that the program proper has retired. It stands still from reset until
 * the first rt_count_run, between rt_count_stop and rt_count_run, and in the timer interrupt,
 * exactly: an interrupted loop counts as many as one left alone. It is right only under -icount
 * shift=5. stop and run do not nest.
 */
void rt_count_stop(void);
void rt_count_run(void);
/* The same, with the result of the function that ends there. */
static inline int rt_count_run_with(int result)
{
	rt_count_run();
	return result;
}
/* To be called while it stands. */
uint64_t rt_count(void);

enum { RT_WATCHDOG_MS = 5000 };
/*
 * What the board does when something happens to it: the pulse ends, the watchdog bites, or the
 * program faults, before the fault's line is written. All run in the interrupt, on its stack.
 */
struct rt_board {
	void (*pulse_ended)(void);
	void (*watchdog_bit)(void); /* does not return */
	void (*faulted)(void);
};
/*
 * One timer for two deadlines, both by instructions (31.25 for each microsecond) plus what the port
 * says it waited, since CCOUNT stops while QEMU sits in select. board must outlive it.
 */
void rt_timer_start(const struct rt_board *board);
/* The pulse ends in that many ms from now, 0: there is none. */
void rt_timer_pulse(uint32_t ms);
void rt_timer_feed(void);
/* The watchdog's share of a wait. */
void rt_timer_waited(uint32_t ms);
/* How often the interrupt came. */
uint32_t rt_interrupts(void);

/* Masks the timer's interrupt, and puts back what was. */
static inline uint32_t rt_mask(void)
{
	uint32_t ps;

	__asm__ volatile("rsil %0, 1" : "=r"(ps) : : "memory");
	return ps;
}

static inline void rt_unmask(uint32_t ps)
{
	__asm__ volatile("wsr %0, ps\n\trsync" : : "r"(ps) : "memory");
}

/* Text at stdout as it stands, for the console. */
void rt_print(const char *text);

/* A line at stdout, put together here and written at once, never in the middle of one of the
 * console's. What does not fit is cut. */
struct rt_line {
	size_t n;
	char b[160];
};

/* Starts the line with the count, as it is while the count stands. */
void rt_line_begin(struct rt_line *l);
void rt_line_text(struct rt_line *l, const char *s);
/* A space and the number. */
void rt_line_number(struct rt_line *l, int64_t v);
/* The text and, right behind it, the number. */
void rt_line_pair(struct rt_line *l, const char *s, uint32_t v);
void rt_line_end(struct rt_line *l);

/* The heap between the program's data and its stack. lk_port_calloc and lk_port_free are here
 * too. */
struct rt_heap {
	uint32_t now, peak; /* bytes asked for */
	uint32_t number;    /* of allocations so far */
	uint32_t arena;     /* the farthest byte ever handed out, with what the allocator itself takes */
};
struct rt_heap rt_heap(void);
/* An allocation that would bring the bytes asked for above limit fails; 0: no limit but the
 * memory. */
void rt_heap_limit(uint32_t limit);

/* The most that the program's stack ever held. */
uint32_t rt_stack_used(void);

/* Ends QEMU with that status. */
_Noreturn void rt_exit(int status);
#endif
#endif
