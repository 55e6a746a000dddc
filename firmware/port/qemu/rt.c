#include <string.h>
#include "rt.h"
#include "simcall.h"

/*
 * CCOUNT runs at 40 MHz of QEMU's virtual time and an instruction takes 32 ns of it (-icount
 * shift=5), so CCOUNT is floor(n * 32 / 25) after n instructions: no two n have the same, and n =
 * ceil(CCOUNT * 25 / 32) gets it back without loss, whatever was waited between.
 */
enum { CYCLES_PER_MS = 40000, TIMER_INTERRUPT = 1 << 6 };

/* What start.S takes outside its two reads of CCOUNT: 4 before the first, the second itself, 5
 * after it. */
enum { INTERRUPT_COST = 10 };

static struct {
	/* CCOUNT, extended at each look: it wraps after 107 s, and the timer looks each second */
	uint64_t cycles;
	uint64_t done;   /* instructions until the count last stood */
	uint32_t ran_at; /* CCOUNT when it began to run */
	uint32_t nowhere;
	uint64_t pulse, watchdog; /* deadlines in cycles, 0: none */
	uint32_t interrupts;
	const struct rt_board *board; /* NULL until the timer is started */
	bool running, ticking, mid_line;
} rt;

static inline uint32_t ccount(void)
{
	uint32_t v;

	__asm__ volatile("rsr %0, ccount" : "=r"(v) : : "memory");
	return v;
}

/* c may be from before the last look. */
static uint64_t extend(uint32_t c)
{
	int32_t since = (int32_t)(c - (uint32_t)rt.cycles);

	if (since > 0) {
		rt.cycles += (uint32_t)since;
		return rt.cycles;
	}
	return rt.cycles - (0 - (uint32_t)since);
}

static uint64_t retired(uint32_t c)
{
	return (extend(c) * 25 + 31) / 32;
}

static void stand(uint32_t c)
{
	uint64_t from = retired(rt.ran_at);

	rt.done += retired(c) - from;
}

void rt_count_stop(void)
{
	uint32_t ps = rt_mask();
	uint32_t c = ccount();

	if (rt.running) {
		stand(c);
	}
	rt.running = false;
	rt_unmask(ps);
}

void rt_count_run(void)
{
	uint32_t ps = rt_mask();

	rt.running = true;
	rt.ran_at = ccount();
	rt_unmask(ps);
}

uint64_t rt_count(void)
{
	return rt.done;
}

static void arm(void)
{
	uint64_t now = extend(ccount()), next = now + 1000 * CYCLES_PER_MS;

	if (rt.pulse != 0 && rt.pulse < next) {
		next = rt.pulse;
	}
	if (rt.watchdog != 0 && rt.watchdog < next) {
		next = rt.watchdog;
	}
	/* CCOMPARE acts when CCOUNT reaches it: one that has passed already would act after a whole
	 * turn. */
	if (next < now + 1000) {
		next = now + 1000;
	}
	__asm__ volatile("wsr %0, ccompare0\n\tesync" : : "r"((uint32_t)next) : "memory");
}

/* By start.S, with CCOUNT at entry; the result is where start.S puts CCOUNT when it leaves. */
uint32_t *rt_interrupt(uint32_t entered);
uint32_t *rt_interrupt(uint32_t entered)
{
	bool running = rt.running;

	rt.interrupts++;
	if (running) {
		stand(entered);
		rt.done -= INTERRUPT_COST;
		rt.running = false;
	}
	extend(ccount());
	if (rt.watchdog != 0 && rt.cycles >= rt.watchdog) {
		rt.board->watchdog_bit();
	}
	if (rt.pulse != 0 && rt.cycles >= rt.pulse) {
		rt.pulse = 0;
		rt.board->pulse_ended();
	}
	arm();
	rt.running = running;
	return running ? &rt.ran_at : &rt.nowhere;
}

void rt_timer_start(const struct rt_board *board)
{
	rt.board = board;
	rt.ticking = true;
	rt_timer_feed();
	arm();
	__asm__ volatile("wsr %0, intenable\n\trsync" : : "r"(TIMER_INTERRUPT) : "memory");
}

void rt_timer_pulse(uint32_t ms)
{
	uint32_t ps = rt_mask();

	rt.pulse = ms == 0 ? 0 : extend(ccount()) + (uint64_t)ms * CYCLES_PER_MS;
	arm();
	rt_unmask(ps);
}

void rt_timer_feed(void)
{
	uint32_t ps = rt_mask();

	rt.watchdog = rt.ticking ? extend(ccount()) + (uint64_t)RT_WATCHDOG_MS * CYCLES_PER_MS : 0;
	rt_unmask(ps);
}

void rt_timer_waited(uint32_t ms)
{
	uint32_t ps = rt_mask();
	uint64_t w = (uint64_t)ms * CYCLES_PER_MS;

	if (rt.watchdog != 0) {
		rt.watchdog = rt.watchdog > w ? rt.watchdog - w : 1;
		if (extend(ccount()) >= rt.watchdog) {
			rt.board->watchdog_bit();
		}
	}
	rt_unmask(ps);
}

uint32_t rt_interrupts(void)
{
	return rt.interrupts;
}

void rt_line_text(struct rt_line *l, const char *s)
{
	while (*s != '\0' && l->n < sizeof l->b - 1) {
		l->b[l->n++] = *s++;
	}
}

static void number(struct rt_line *l, uint64_t v)
{
	char digits[21];
	size_t i = sizeof digits - 1;

	digits[i] = '\0';
	for (; v > UINT32_MAX; v /= 10) {
		digits[--i] = (char)('0' + v % 10);
	}
	/* This core divides 32 bits in a tenth of the time, and a line in the interrupt should not take
	 * long. */
	for (uint32_t w = (uint32_t)v; i == sizeof digits - 1 || w != 0; w /= 10) {
		digits[--i] = (char)('0' + w % 10);
	}
	rt_line_text(l, digits + i);
}

void rt_line_begin(struct rt_line *l)
{
	l->n = 0;
	number(l, rt.done);
}

void rt_line_number(struct rt_line *l, int64_t v)
{
	rt_line_text(l, v < 0 ? " -" : " ");
	number(l, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void rt_line_pair(struct rt_line *l, const char *s, uint32_t v)
{
	rt_line_text(l, s);
	number(l, v);
}

void rt_line_end(struct rt_line *l)
{
	uint32_t ps = rt_mask();

	if (rt.mid_line) {
		sim_write(1, "\n", 1);
	}
	rt.mid_line = false;
	l->b[l->n++] = '\n';
	sim_write(1, l->b, l->n);
	rt_unmask(ps);
}

void rt_print(const char *text)
{
	uint32_t ps = rt_mask();
	size_t n = strlen(text);

	if (n > 0) {
		sim_write(1, text, n);
		rt.mid_line = text[n - 1] != '\n';
	}
	rt_unmask(ps);
}

extern uint32_t __stack_limit[], __stack_size[]; /* the size is the second one's address */

uint32_t rt_stack_used(void)
{
	uint32_t size = (uint32_t)__stack_size, free = 0;

	while (free < size && __stack_limit[free / 4] == 0xA5A5A5A5) {
		free += 4;
	}
	return size - free;
}

_Noreturn void rt_exit(int status)
{
	for (;;) {
		simcall(SIM_EXIT, (uint32_t)status, 0, 0);
	}
}

/* By start.S. Interrupts are off, and stay off. */
_Noreturn void rt_fault(uint32_t cause, uint32_t epc, uint32_t vaddr);
_Noreturn void rt_fault(uint32_t cause, uint32_t epc, uint32_t vaddr)
{
	struct rt_line l;

	if (rt.running) {
		stand(ccount());
		rt.running = false;
	}
	if (rt.board != NULL) {
		rt.board->faulted();
	}
	rt_line_begin(&l);
	rt_line_text(&l, " fault");
	rt_line_number(&l, cause);
	rt_line_number(&l, epc);
	rt_line_number(&l, vaddr);
	rt_line_end(&l);
	rt_exit(99);
}
