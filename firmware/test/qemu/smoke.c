/*
 * Tests the QEMU port itself, without a node and a gateway. Each letter at the console runs one of
 * these checks, and smoke.sh has the expected output.
 */
#include <string.h>
#include "app.h"
#include "rt.h"

void registers(uint32_t n, uint32_t out[16]);

static void say(struct lk_app *a, const char *text, uint32_t n)
{
	a->port->log(a->port->own, text, n);
}

/* Counts the instructions of registers(n). An interrupt comes after ms, or none if ms is 0; late
 * moves it to another instruction of the loop. */
static uint32_t count_instructions(struct lk_app *a, uint32_t n, uint32_t ms, uint32_t late, uint32_t out[16])
{
	uint64_t before;

	if (late % 50 == 1) {
		a->port->output(a->port->ctx, 1, ms); /* an interrupt that prints, which takes long */
		rt_count_stop();
	} else {
		rt_count_stop();
		rt_timer_pulse(ms);
	}
	before = rt_count();
	while (late-- > 0) {
		__asm__ volatile("nop");
	}
	rt_count_run();
	registers(n, out);
	rt_count_stop();
	before = rt_count() - before;
	rt_count_run();
	return (uint32_t)before;
}

/* Lets 3000 interrupts hit every instruction of a loop. None may change a register or the count of
 * instructions. */
static void interrupts(struct lk_app *a)
{
	uint32_t want[16], got[16], wrong = 0, off = 0, came, quiet;

	quiet = count_instructions(a, 2000, 0, 0, want);
	came = rt_interrupts();
	for (uint32_t i = 0; i < 3000; i++) {
		rt_timer_feed();
		off += count_instructions(a, 2000, 1, i, got) != quiet;
		wrong += memcmp(want, got, sizeof got) != 0;
	}
	say(a, "loop", quiet);
	say(a, "interrupts", rt_interrupts() - came);
	say(a, "changed", wrong);
	say(a, "miscounted", off);
}

/* Works and waits in turn. The count of instructions before each line must be the same on every
 * run. */
static void work(struct lk_app *a)
{
	uint32_t out[16];

	for (uint32_t i = 0; i < 5; i++) {
		registers(1000 + i, out);
		a->port->udp_wait(a->port->ctx, 15);
		(void)a->port->now(a->port->ctx);
		say(a, "worked", i);
	}
}

static void heap(struct lk_app *a)
{
	uint8_t *p[4], *big;
	uint32_t sum = 0;

	for (uint32_t i = 0; i < 4; i++) {
		p[i] = lk_port_calloc(1, 100 + i);
		memset(p[i], 0xFF, 100 + i);
	}
	lk_port_free(p[1]);
	lk_port_free(p[2]);
	big = lk_port_calloc(2, 101);
	say(a, "joined", big == p[1]);
	for (uint32_t i = 0; big != NULL && i < 202; i++) {
		sum += big[i];
	}
	say(a, "dirty", sum);
	say(a, "beyond memory", lk_port_calloc(1, 1000000) != NULL);
	say(a, "beyond numbers", lk_port_calloc(0x10000, 0x10001) != NULL);
	rt_heap_limit(1000);
	say(a, "above the limit", lk_port_calloc(1, 600) != NULL);
	rt_heap_limit(0);
	lk_port_free(big);
	lk_port_free(p[0]);
	lk_port_free(p[3]);
	say(a, "kept", rt_heap().now);
}

static void keys(struct lk_app *a)
{
	const struct lk_port *p = a->port;
	uint8_t b[16];

	say(a, "unknown", (uint32_t)p->kv_get(p->own, "none", b, sizeof b));
	say(a, "set", (uint32_t)p->kv_set(p->own, "fifteen-letters", (const uint8_t *)"value", 5));
	say(a, "got", (uint32_t)p->kv_get(p->own, "fifteen-letters", b, sizeof b));
	say(a, "other", memcmp(b, "value", 5) != 0);
	say(a, "short", p->kv_get(p->own, "fifteen-letters", b, 4) < 0);
	say(a, "long name", p->kv_set(p->own, "sixteen-letters!", b, 1) < 0);
	say(a, "removed", (uint32_t)p->kv_set(p->own, "fifteen-letters", b, 0));
	say(a, "gone", (uint32_t)p->kv_get(p->own, "fifteen-letters", b, sizeof b));
	say(a, "half", (uint32_t)p->kv_get(p->own, "half", b, sizeof b));
	say(a, "whole", (uint32_t)p->kv_get(p->own, "whole", b, sizeof b));
}

/* A socket receives what it sends, and the socket that is opened next receives nothing of it. */
static void datagrams(struct lk_app *a)
{
	const struct lk_port *p = a->port;
	uint8_t b[8];

	say(a, "none open", (uint32_t)p->udp_recv(p->own, b, sizeof b));
	say(a, "opened", (uint32_t)p->udp_open(p->own, "", 0));
	p->udp_send(p->own, (const uint8_t *)"first", 5);
	p->udp_send(p->own, (const uint8_t *)"the second", 10);
	p->udp_wait(p->ctx, 1000);
	say(a, "length", (uint32_t)p->udp_recv(p->own, b, sizeof b));
	say(a, "other", memcmp(b, "first", 5) != 0);
	p->udp_wait(p->ctx, 1000);
	say(a, "length", (uint32_t)p->udp_recv(p->own, b, sizeof b));
	say(a, "other", memcmp(b, "the seco", 8) != 0);
	say(a, "more", (uint32_t)p->udp_recv(p->own, b, sizeof b));
	for (int i = 0; i < 4; i++) {
		p->udp_send(p->own, b, 1);
		p->udp_open(p->own, "", 0);
		say(a, "left over", (uint32_t)p->udp_recv(p->own, b, sizeof b));
	}
}

/* Prints what the RTC memory holds, and writes something new into it. */
static void rtc(struct lk_app *a)
{
	const struct lk_port *p = a->port;
	uint8_t b[8];

	say(a, "rtc", (uint32_t)p->rtc_get(p->ctx, b, sizeof b) + b[0]);
	memset(b, 7, sizeof b);
	say(a, "rtc set", (uint32_t)p->rtc_set(p->ctx, b, 4));
}

static uint32_t volatile_sum(volatile uint8_t *b, uint32_t n)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		b[i] = (uint8_t)i;
		sum += b[i];
	}
	return sum;
}

static void stack(struct lk_app *a)
{
	uint8_t b[3000];
	uint32_t before = rt_stack_used();

	(void)volatile_sum(b, sizeof b);
	say(a, "stack before", before);
}

static void arithmetic(struct lk_app *a)
{
	static const uint32_t v[] = {0, 1, 2, 3, 7, 10, 255, 256, 65535, 65536, 0x7FFFFFFF, 0x80000000,
		0x80000001, 0xFFFFFFFE, 0xFFFFFFFF};
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < sizeof v / sizeof *v; i++) {
		for (uint32_t j = 0; j < sizeof v / sizeof *v; j++) {
			volatile uint32_t x = v[i], y = v[j];
			volatile uint64_t p = (uint64_t)x << 32 | y, d = (uint64_t)y << 7 | 3;

			if (y != 0) {
				wrong += x / y * y + x % y != x || x % y >= y;
				wrong += (x != 0x80000000 || y != 0xFFFFFFFF) &&
					 (uint32_t)((int32_t)x / (int32_t)y) * y + (uint32_t)((int32_t)x % (int32_t)y) != x;
			}
			wrong += p / d * d + p % d != p || p % d >= d;
			wrong += (uint64_t)x * y != (uint64_t)y * x || (uint32_t)((uint64_t)x * y) != x * y;
			wrong += x != 0 && (uint64_t)x * y / x != y;
		}
	}
	say(a, "sums wrong", wrong);
}

static void check(struct lk_app *a, char which)
{
	const struct lk_port *p = a->port;
	uint32_t t;

	switch (which) {
	case 'a':
		arithmetic(a);
		break;
	case 'c':
		rtc(a);
		break;
	case 'h':
		heap(a);
		break;
	case 'i':
		interrupts(a);
		break;
	case 'k':
		keys(a);
		break;
	case 'm':
		say(a, "200 bytes", lk_port_calloc(1, 200) != NULL);
		break;
	case 'o':
		p->output(p->ctx, 1, 300);
		break;
	case 'q':
		p->output(p->ctx, 0, 0);
		break;
	case 'p':
		p->print(p->ctx, "half a line");
		break;
	case 'r':
		p->restart(p->ctx);
		break;
	case 's':
		stack(a);
		break;
	case 't': /* a wait of 250 ms by the board's clock */
		t = p->now(p->ctx);
		p->udp_wait(p->ctx, 250);
		t = p->now(p->ctx) - t;
		say(a, "as long as asked", t >= 240 && t < 2000);
		break;
	case 'u':
		datagrams(a);
		break;
	case 'w':
		work(a);
		break;
	case 'z':
		p->sleep(p->ctx, 60000);
		break;
	default:
		break;
	}
}

const struct lk_part lk_image[] = {{"smoke", NULL}, {NULL, NULL}};

void lk_app_init(struct lk_app *a, const struct lk_part *parts, const struct lk_port *port)
{
	(void)parts;
	a->port = port;
	port->output(port->ctx, 0, 0);
	say(a, "boot", (uint32_t)port->boot(port->ctx));
}

void lk_app_step(struct lk_app *a)
{
	const struct lk_port *p = a->port;
	char todo[32];
	size_t n = 0;

	p->feed(p->ctx);
	p->udp_wait(p->ctx, 1000);
	/* Read all letters first: unread ones would end each wait at once. */
	for (int c; n < sizeof todo && (c = p->console_read(p->ctx)) >= 0;) {
		todo[n++] = (char)c;
	}
	for (size_t i = 0; i < n; i++) {
		check(a, todo[i]);
	}
}
