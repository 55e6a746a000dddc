/*
 * A board that is not there: a node's image for the ESP8266's core, run in QEMU, with the world of port/world at stdin and stdout. What is
 * real is the instruction set, the memory map, the heap, the stack, the timer and its interrupt. What is not: WiFi (always there), flash
 * (files), the card reader's chip (a model, behind spi), deep sleep and restart (the process exits, and whoever started it starts it
 * again), and time while the node computes, which goes by instructions.
 *
 * Arguments, in any order (QEMU: -semihosting-config enable=on,arg=NAME,arg=…; the first is the program's name):
 *	clock=FD     a timerfd that expires each millisecond. Without it the clock is /proc/uptime, which goes in steps of 10 ms: enough to
 *	             play with, but the age in a scan is then off by as much, and a gateway may rightly call it stale at first
 *	sockets=N    there are N sockets from fd 3 on, instead of 4
 *	verbose      led lines too
 *	power, reset, watchdog or wake: why it boots, instead of what the file "boot" says
 */
#include <string.h>
#include "app.h"
#include "err.h"
#include "files.h"
#include "port.h"
#include "rt.h"
#include "simcall.h"
#include "world.h"

/* Stdin is looked at this often while the node waits for a datagram, since QEMU can wait for one descriptor only. */
enum { SLICE_MS = 10 };
enum { FIRST_SOCKET = 3 };

static struct {
	struct lk_world world;
	enum lk_boot boot;
	int sockets, taken, udp; /* udp: the one in use, -1: none */
	int clock, random, uptime;
	uint32_t ticks;       /* of the timerfd so far */
	uint32_t pulse_until; /* by the clock; the timer's own deadline goes by instructions */
	bool pulse, verbose, lit;
} board;

static struct lk_app app;

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
			board.ticks += rt_page[0] | (uint32_t)rt_page[1] << 8 | (uint32_t)rt_page[2] << 16 | (uint32_t)rt_page[3] << 24;
		}
		return board.ticks;
	}
	simcall(SIM_LSEEK, (uint32_t)board.uptime, 0, 0);
	n = sim_read(board.uptime, rt_page, 32);
	while (i < n && rt_page[i] != '.') {
		s = s * 10 + (rt_page[i++] - (uint32_t)'0');
	}
	return i + 2 < n ? s * 1000 + (rt_page[i + 1] - (uint32_t)'0') * 100 + (rt_page[i + 2] - (uint32_t)'0') * 10 : s * 1000;
}

/* The rest is called by the loop with the interrupt masked, or by the interrupt. */

static void let_go(void)
{
	board.pulse = false;
	if (lk_world_output(&board.world, 0, 0)) {
		say(" output", 0, 0, 2);
	}
}

void rt_pulse_ended(void)
{
	let_go();
}

static _Noreturn void leave(const char *boot, int status)
{
	rt_file_write("boot", SIM_TRUNC, boot, strlen(boot));
	rt_exit(status);
}

void rt_watchdog_bit(void)
{
	let_go();
	say(" reset watchdog", 0, 0, 0);
	leave("watchdog", 4);
}

void rt_faulted(void)
{
	let_go();
	rt_file_write("boot", SIM_TRUNC, "watchdog", 8);
}

/* The loop's own from here. Each function of the port begins with enter and ends with its return value handed through run. */

static void enter(void)
{
	rt_count_stop();
}

static int run(int result)
{
	rt_count_run();
	return result;
}

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

/* The next socket, emptied of what came for whoever had it before. */
static int next_socket(void)
{
	int fd = FIRST_SOCKET + board.taken++ % board.sockets;

	while (sim_wait(fd, 0) > 0 && sim_read(fd, rt_page, sizeof rt_page) > 0) {
	}
	return sim_wait(fd, 0) < 0 ? LK_EIO : fd;
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
		board.udp = board.udp < 0 ? board.udp : next_socket();
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

/* What stands at stdin now. Its end is the end of the program. */
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
	enter();
	now = clock_ms();
	rt_count_run();
	return now;
}

static int port_random(void *ctx, uint8_t *buf, size_t n)
{
	(void)ctx;
	enter();
	for (size_t k; n > 0; buf += k, n -= k) {
		k = n < sizeof rt_page ? n : sizeof rt_page;
		if (sim_read(board.random, rt_page, k) != (int)k) {
			return run(LK_EIO);
		}
		memcpy(buf, rt_page, k);
	}
	return run(0);
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

static int port_udp_open(void *ctx, const char *host, uint16_t port)
{
	(void)ctx;
	(void)host;
	(void)port;
	enter();
	board.udp = next_socket();
	return run(board.udp < 0 ? board.udp : 0);
}

/* The first try may only bring the news that nobody took the datagram before. Where nobody listens, one is lost, as on the air. */
static int port_udp_send(void *ctx, const uint8_t *b, size_t n)
{
	(void)ctx;
	if (board.udp < 0 || n > sizeof rt_page) {
		return LK_EIO;
	}
	enter();
	memcpy(rt_page, b, n);
	for (int i = 0; i < 2 && sim_write(board.udp, rt_page, n) != (int)n; i++) {
	}
	return run((int)n);
}

static int port_udp_recv(void *ctx, uint8_t *b, size_t cap)
{
	(void)ctx;
	if (board.udp < 0) {
		return 0;
	}
	enter();
	/* Twice: the first may only bring such news too. */
	for (int i = 0; i < 2 && sim_wait(board.udp, 0) > 0; i++) {
		int n = sim_read(board.udp, rt_page, cap < sizeof rt_page ? cap : sizeof rt_page);

		if (n > 0) {
			memcpy(b, rt_page, (size_t)n);
			return run(n);
		}
	}
	return run(0);
}

static void port_udp_wait(void *ctx, uint32_t ms)
{
	uint32_t gone = 0, start;

	(void)ctx;
	enter();
	start = clock_ms();
	for (;;) {
		uint32_t slice = ms - gone < SLICE_MS ? ms - gone : SLICE_MS;

		look();
		/* Both: slices last longer than asked on a busy machine, and the clock may go in steps of 10 ms. */
		if (lk_world_console_pending(&board.world) || slice == 0 || clock_ms() - start >= ms + 10) {
			break;
		}
		if (sim_wait(board.udp < 0 ? 0 : board.udp, slice) > 0) {
			waited(0);
			if (board.udp >= 0) {
				break;
			}
		} else {
			gone += slice;
			waited(slice);
		}
	}
	rt_count_run();
}

static int port_kv_get(void *ctx, const char *key, uint8_t *b, size_t cap)
{
	(void)ctx;
	enter();
	return run(rt_key_get(key, b, cap));
}

static int port_kv_set(void *ctx, const char *key, const uint8_t *b, size_t n)
{
	(void)ctx;
	enter();
	return run(rt_key_set(key, b, n));
}

static int port_rtc_get(void *ctx, uint8_t *b, size_t n)
{
	int got;

	(void)ctx;
	if (n > LK_RTC_MAX) {
		return LK_ERANGE;
	}
	enter();
	got = rt_file_read("rtc.bin");
	/* After power came on such memory holds anything. */
	for (size_t i = 0; i < n; i++) {
		b[i] = (int)i < got ? rt_page[i] : (uint8_t)(0xA5 + i);
	}
	return run(0);
}

static int port_rtc_set(void *ctx, const uint8_t *b, size_t n)
{
	(void)ctx;
	if (n > LK_RTC_MAX || n % 4 != 0) {
		return LK_ERANGE;
	}
	enter();
	memcpy(rt_page, b, n);
	return run(rt_file_write("rtc.bin", 0, rt_page, n));
}

static int port_spi(void *ctx, const uint8_t *tx, uint8_t *rx, size_t n)
{
	(void)ctx;
	enter();
	mfrc522_model_spi(&board.world.chip, tx, rx, n);
	return run(0);
}

static void port_chip_reset(void *ctx, bool held)
{
	(void)ctx;
	enter();
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
	enter();
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
	enter();
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
	enter();
	rt_timer_feed();
	rt_count_run();
}

static void port_restart(void *ctx)
{
	(void)ctx;
	enter();
	rt_mask();
	let_go();
	say(" reset restart", 0, 0, 0);
	leave("reset", 3);
}

static void port_sleep(void *ctx, uint32_t ms)
{
	(void)ctx;
	enter();
	rt_mask();
	let_go();
	stat(); /* what saving the association took shows nowhere later */
	say(" sleep", ms, 0, 1);
	leave("wake", 0);
}

static int port_console_read(void *ctx)
{
	(void)ctx;
	enter();
	return run(lk_world_console_read(&board.world));
}

static void port_print(void *ctx, const char *text)
{
	(void)ctx;
	enter();
	rt_print(text);
	rt_count_run();
}

static void port_log(void *ctx, const char *text, uint32_t number)
{
	static struct rt_line l; /* the program's stack mark is to be the program's own */

	(void)ctx;
	enter();
	rt_line_begin(&l);
	rt_line_text(&l, " log ");
	rt_line_text(&l, text);
	rt_line_number(&l, number);
	rt_line_end(&l);
	rt_count_run();
}

static const struct lk_port port = {
	.now = port_now,
	.random = port_random,
	.boot = port_boot,
	.net_join = port_net_join,
	.net_ready = port_net_ready,
	.udp_open = port_udp_open,
	.udp_send = port_udp_send,
	.udp_recv = port_udp_recv,
	.udp_wait = port_udp_wait,
	.kv_get = port_kv_get,
	.kv_set = port_kv_set,
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
	.log = port_log,
};

static int small_number(const char *s)
{
	int v = 0;

	while (*s >= '0' && *s <= '9' && v < 1000) {
		v = v * 10 + (*s++ - '0');
	}
	return v;
}

static const char *const boot_words[] = {"power", "reset", "watchdog", "wake"}; /* by enum lk_boot */

static bool boot_word(const char *s)
{
	for (int i = 0; i < 4; i++) {
		if (strncmp(s, boot_words[i], strlen(boot_words[i])) == 0) {
			board.boot = (enum lk_boot)i;
			return true;
		}
	}
	return false;
}

/* How the process before this one ended, which is how the node boots, unless an argument says otherwise; the next one is told anew. */
static void boot_file(void)
{
	int n = rt_file_read("boot");

	if (n > 0) {
		rt_page[n < (int)sizeof rt_page ? n : n - 1] = '\0';
		boot_word((const char *)rt_page);
		rt_file_write("boot", SIM_TRUNC, boot_words[0], strlen(boot_words[0]));
	}
}

static void arguments(void)
{
	char **argv = (char **)(void *)rt_page;
	int argc = simcall(SIM_ARGC, 0, 0, 0);

	if (argc < 1 || simcall(SIM_ARGV_SIZE, 0, 0, 0) > (int)sizeof rt_page) {
		return;
	}
	simcall(SIM_ARGV, (uint32_t)rt_page, 0, 0);
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "clock=", 6) == 0) {
			board.clock = small_number(argv[i] + 6);
		} else if (strncmp(argv[i], "sockets=", 8) == 0) {
			board.sockets = small_number(argv[i] + 8);
		} else if (strcmp(argv[i], "verbose") == 0) {
			board.verbose = true;
		} else if (!boot_word(argv[i])) {
			say(" no such argument", i, 0, 1);
			rt_exit(2);
		}
	}
}

int main(void)
{
	board.sockets = 4;
	board.udp = board.clock = -1;
	lk_world_init(&board.world);
	boot_file();
	arguments();
	if (board.boot != LK_BOOT_WAKE && rt_file_read("rtc.bin") > 0) {
		rt_file_write("rtc.bin", SIM_TRUNC, rt_page, 0);
	}
	board.random = rt_file_open("/dev/urandom", SIM_RDONLY);
	board.uptime = rt_file_open("/proc/uptime", SIM_RDONLY);
	rt_timer_start();
	rt_count_run();
	lk_app_init(&app, &port);
	for (;;) {
		lk_app_step(&app);
	}
}
