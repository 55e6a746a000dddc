/*
 * A simulated board: a node's image for the ESP8266's core, run in QEMU, with the world of
 * port/world at stdin and stdout. What is real is the instruction set, the memory map, the heap,
 * the stack, the timer and its interrupt. What is not: WiFi (always there), flash (files), the card
 * reader's chip (a model, behind spi), deep sleep and restart (the process exits, and whoever
 * started it starts it again), and time while the node computes, which goes by instructions.
 */
#include "port_qemu.h"

#include <string.h>
#include "err.h"
#include "files.h"
#include "nodes.h"
#include "rt.h"
#include "simcall.h"
#include "world.h"

/* How often stdin is polled while the node waits for a datagram: QEMU can wait for one
 * descriptor only. */
enum { SLICE_MS = 10 };

static struct {
	struct lk_world world;
	enum lk_boot boot;
	int clock, random, uptime;
	uint32_t ticks;       /* of the timerfd so far */
	uint32_t pulse_until; /* by the clock; the timer's own deadline goes by instructions */
	bool pulse, verbose, lit;
} board;

static __attribute__((noinline)) void say(const char *what, int64_t a, int64_t b, int numbers)
{
	struct rt_line l;

	rt_line_begin(&l);
	rt_line_text(&l, what);
	if (numbers > 0) {
		rt_line_number(&l, a);
	}
	if (numbers > 1) {
		rt_line_number(&l, b);
	}
	rt_line_end(&l);
}

static uint32_t clock_ms(void)
{
	uint32_t s = 0;
	int i = 0, n;

	if (board.clock >= 0) {
		if (sim_wait(board.clock, 0) > 0 && sim_read(board.clock, rt_page, 8) == 8) {
			board.ticks += rt_page[0] | (uint32_t)rt_page[1] << 8 | (uint32_t)rt_page[2] << 16 |
			               (uint32_t)rt_page[3] << 24;
		}
		return board.ticks;
	}
	simcall(SIM_LSEEK, (uint32_t)board.uptime, 0, 0);
	n = sim_read(board.uptime, rt_page, 32);
	while (i < n && rt_page[i] != '.') {
		s = s * 10 + (rt_page[i++] - (uint32_t)'0');
	}
	return i + 2 < n
	           ? s * 1000 + (rt_page[i + 1] - (uint32_t)'0') * 100 + (rt_page[i + 2] - (uint32_t)'0') * 10
	           : s * 1000;
}

/* The rest is called by the loop with the interrupt masked, or by the interrupt. */

static void let_go(void)
{
	board.pulse = false;
	if (lk_world_output(&board.world, 0, 0)) {
		say(" output", 0, 0, 2);
	}
}

static _Noreturn void leave(const char *boot, int status)
{
	rt_file_write("boot", SIM_TRUNC, boot, strlen(boot));
	rt_exit(status);
}

static void watchdog_bit(void)
{
	let_go();
	say(" reset watchdog", 0, 0, 0);
	leave("watchdog", 4);
}

static void faulted(void)
{
	let_go();
	rt_file_write("boot", SIM_TRUNC, "watchdog", 8);
}

/* The loop's own from here. Each function of the port stops the count, and runs it again at its
 * end. */


static void stat(void)
{
	static struct rt_line l;
	struct rt_heap h = rt_heap();

	rt_line_begin(&l);
	rt_line_text(&l, " stat");
	rt_line_pair(&l, " heap=", h.now);
	rt_line_pair(&l, " peak=", h.peak);
	rt_line_pair(&l, " stack=", rt_stack_used());
	rt_line_pair(&l, " allocs=", h.number);
	rt_line_pair(&l, " arena=", h.arena);
	rt_line_end(&l);
}

static void do_ask(enum lk_world_ask ask)
{
	switch (ask) {
	case LK_WORLD_NOTHING:
		break;
	case LK_WORLD_HANG:
		rt_count_run();
		for (;;) {
		}
	case LK_WORLD_OOM:
		rt_heap_limit(board.world.number);
		break;
	case LK_WORLD_REBIND:
		nodes_rebind();
		break;
	case LK_WORLD_UNALIGNED:
		__asm__ volatile("l32i a2, %0, 0" : : "r"(rt_page + 1) : "a2"); /* C would load it byte by byte */
		break;
	case LK_WORLD_STAT:
		stat();
		break;
	case LK_WORLD_BAD:
		say(" no such line of the world", 0, 0, 0);
		rt_mask();
		let_go();
		rt_exit(2);
	}
}

/* Reads what is at stdin now. At its end the program ends. */
static void look(void)
{
	static uint8_t in[256] __attribute__((aligned(256)));

	while (sim_wait(0, 0) > 0) {
		size_t room = lk_world_room(&board.world);
		int n;

		if (room == 0) {
			return;
		}
		n = sim_read(0, in, room < sizeof in ? room : sizeof in);
		if (n <= 0) {
			rt_mask();
			let_go();
			rt_exit(0);
		}
		for (int i = 0; i < n; i++) {
			do_ask(lk_world_feed(&board.world, in[i]));
		}
	}
}

/* After a wait of that many ms, in which the timer's cycles stood still. */
static void waited(uint32_t ms)
{
	int32_t left = (int32_t)(board.pulse_until - clock_ms());
	uint32_t ps = rt_mask();

	if (board.pulse && left <= 0) {
		rt_timer_pulse(0);
		let_go();
	} else if (board.pulse) {
		rt_timer_pulse((uint32_t)left);
	}
	rt_timer_waited(ms);
	rt_unmask(ps);
}

static uint32_t port_now(void *ctx)
{
	uint32_t now;

	(void)ctx;
	rt_count_stop();
	now = clock_ms();
	rt_count_run();
	return now;
}

static int port_random(void *ctx, uint8_t *buf, size_t n)
{
	(void)ctx;
	rt_count_stop();
	for (size_t k; n > 0; buf += k, n -= k) {
		k = n < sizeof rt_page ? n : sizeof rt_page;
		if (sim_read(board.random, rt_page, k) != (int)k) {
			return rt_count_run_with(LK_EIO);
		}
		memcpy(buf, rt_page, k);
	}
	return rt_count_run_with(0);
}

static enum lk_boot port_boot(void *ctx)
{
	(void)ctx;
	return board.boot;
}

static int port_net_join(void *ctx, const char *ssid, const char *password)
{
	(void)ctx;
	(void)ssid;
	(void)password;
	return 0;
}

static bool port_net_ready(void *ctx)
{
	(void)ctx;
	return true;
}

static void port_udp_wait(void *ctx, uint32_t ms)
{
	uint32_t gone = 0, start;

	(void)ctx;
	rt_count_stop();
	start = clock_ms();
	for (;;) {
		uint32_t slice = ms - gone < SLICE_MS ? ms - gone : SLICE_MS;

		look();
		/* Both: slices last longer than asked on a busy machine, and the clock may go in steps of
		 * 10 ms. */
		if (lk_world_console_pending(&board.world) || slice == 0 || clock_ms() - start >= ms + 10) {
			break;
		}
		if (nodes_wait(slice)) {
			waited(0);
			if (nodes_open()) {
				break;
			}
		} else {
			gone += slice;
			waited(slice);
		}
	}
	rt_count_run();
}

static int port_rtc_get(void *ctx, uint8_t *b, size_t n)
{
	int got;

	(void)ctx;
	if (n > LK_RTC_MAX) {
		return LK_ERANGE;
	}
	rt_count_stop();
	got = rt_file_read("rtc.bin");
	/* After power-on such memory holds random bytes. */
	for (size_t i = 0; i < n; i++) {
		b[i] = (int)i < got ? rt_page[i] : (uint8_t)(0xA5 + i);
	}
	return rt_count_run_with(0);
}

static int port_rtc_set(void *ctx, const uint8_t *b, size_t n)
{
	(void)ctx;
	if (n > LK_RTC_MAX || n % 4 != 0) {
		return LK_ERANGE;
	}
	rt_count_stop();
	memcpy(rt_page, b, n);
	return rt_count_run_with(rt_file_write("rtc.bin", 0, rt_page, n));
}

static int port_spi(void *ctx, const uint8_t *tx, uint8_t *rx, size_t n)
{
	(void)ctx;
	rt_count_stop();
	mfrc522_model_spi(&board.world.chip, tx, rx, n);
	return rt_count_run_with(0);
}

static void port_chip_reset(void *ctx, bool held)
{
	(void)ctx;
	rt_count_stop();
	mfrc522_model_reset(&board.world.chip, held);
	rt_count_run();
}

static bool port_input(void *ctx, enum lk_input which)
{
	(void)ctx;
	return board.world.input[which];
}

static void port_output(void *ctx, uint8_t level, uint32_t ms)
{
	uint32_t now, ps;

	(void)ctx;
	rt_count_stop();
	now = clock_ms();
	ps = rt_mask();
	board.pulse = level > 0 && ms > 0;
	board.pulse_until = now + ms;
	rt_timer_pulse(board.pulse ? ms : 0);
	if (lk_world_output(&board.world, level, ms)) {
		say(" output", level, ms, 2);
	}
	rt_unmask(ps);
	rt_count_run();
}

static void port_led(void *ctx, bool on)
{
	(void)ctx;
	rt_count_stop();
	if (board.verbose && on != board.lit) {
		say(" led", on, 0, 1);
	}
	board.lit = on;
	rt_count_run();
}

static uint32_t port_voltage(void *ctx)
{
	(void)ctx;
	return board.world.voltage;
}

static int32_t port_rssi(void *ctx)
{
	(void)ctx;
	return board.world.rssi;
}

static void port_feed(void *ctx)
{
	(void)ctx;
	rt_count_stop();
	rt_timer_feed();
	rt_count_run();
}

static void port_restart(void *ctx)
{
	(void)ctx;
	rt_count_stop();
	rt_mask();
	let_go();
	say(" reset restart", 0, 0, 0);
	leave("reset", 3);
}

static void port_sleep(void *ctx, uint32_t ms)
{
	(void)ctx;
	rt_count_stop();
	rt_mask();
	let_go();
	stat(); /* what saving the association took shows nowhere later */
	say(" sleep", ms, 0, 1);
	leave("wake", 0);
}

static int port_console_read(void *ctx)
{
	(void)ctx;
	rt_count_stop();
	return rt_count_run_with(lk_world_console_read(&board.world));
}

static void port_print(void *ctx, const char *text)
{
	(void)ctx;
	rt_count_stop();
	rt_print(text);
	rt_count_run();
}

static const struct lk_port port = {
	.now = port_now,
	.random = port_random,
	.boot = port_boot,
	.net_join = port_net_join,
	.net_ready = port_net_ready,
	.udp_wait = port_udp_wait,
	.rtc_get = port_rtc_get,
	.rtc_set = port_rtc_set,
	.spi = port_spi,
	.chip_reset = port_chip_reset,
	.input = port_input,
	.output = port_output,
	.led = port_led,
	.voltage = port_voltage,
	.rssi = port_rssi,
	.feed = port_feed,
	.restart = port_restart,
	.sleep = port_sleep,
	.console_read = port_console_read,
	.print = port_print,
};

void lk_qemu_start(struct lk_port *p, const struct lk_qemu_options *o)
{
	static const struct rt_board events = {let_go, watchdog_bit, faulted};

	board.boot = o->boot;
	board.clock = o->clock;
	board.verbose = o->verbose;
	nodes_init(o->sockets);
	lk_world_init(&board.world);
	board.random = rt_file_open("/dev/urandom", SIM_RDONLY);
	board.uptime = rt_file_open("/proc/uptime", SIM_RDONLY);
	*p = port;
	nodes_add(p, "");
	rt_timer_start(&events);
	rt_count_run();
}
