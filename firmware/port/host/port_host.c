#define _GNU_SOURCE
#include "port_host.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "files.h"
#include "heap.h"
#include "status.h"
#include "udp.h"
#include "world.h"

enum { WATCHDOG_MS = 5000 };

/* What belongs to one node. */
struct node {
	const char *name; /* "": the first */
	int udp;          /* -1: none */
};

struct host {
	struct lk_world world; /* but for its note of the output, the main thread's own */
	enum lk_boot boot;
	bool show_led, led;
	struct node nodes[LK_MOST_NODES];
	int count; /* of nodes */
	pthread_mutex_t mu;
	pthread_cond_t changed;
	/* guarded by mu: what follows, stdout, and the world's note of the output */
	uint64_t let_go_at; /* 0: never */
	uint64_t bite_at;   /* the watchdog */
	bool mid_line;
};

static struct host host = {.mu = PTHREAD_MUTEX_INITIALIZER};

static uint64_t monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Prints one line of the board. It never begins in the middle of a line of the console. Called
 * with mu held. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs(host.mid_line ? "\n0 " : "0 ", stdout);
	vprintf(format, args);
	putchar('\n');
	fflush(stdout);
	host.mid_line = false;
	va_end(args);
}

static void set_output(uint8_t level, uint32_t ms)
{
	host.let_go_at = level > 0 && ms > 0 ? monotonic() + ms : 0;
	if (lk_world_output(&host.world, level, ms)) {
		say("output %u %lu", (unsigned)level, (unsigned long)ms);
	}
}

/* Takes mu and never releases it, so nothing is printed after it. */
static void stop(void)
{
	pthread_mutex_lock(&host.mu);
	set_output(0, 0);
}

/* The timers, which run even if the loop hangs. */
static void *timers(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&host.mu);
	for (;;) {
		uint64_t now = monotonic(), next = host.bite_at;
		struct timespec t;

		if (host.let_go_at != 0 && host.let_go_at <= now) {
			set_output(0, 0);
		}
		if (host.bite_at <= now) {
			set_output(0, 0);
			say("reset watchdog");
			lk_host_leave_boot(LK_BOOT_WATCHDOG);
			_exit(LK_HOST_WATCHDOG);
		}
		if (host.let_go_at != 0 && host.let_go_at < next) {
			next = host.let_go_at;
		}
		t.tv_sec = (time_t)(next / 1000);
		t.tv_nsec = (long)(next % 1000) * 1000000;
		pthread_cond_timedwait(&host.changed, &host.mu, &t);
	}
	return NULL;
}

static uint32_t port_now(void *ctx)
{
	(void)ctx;
	return (uint32_t)monotonic();
}

static int port_random(void *ctx, uint8_t *buf, size_t n)
{
	(void)ctx;
	while (n > 0) {
		ssize_t r = getrandom(buf, n, 0);

		if (r < 0 && errno != EINTR) {
			return LK_EIO;
		}
		if (r > 0) {
			buf += r;
			n -= (size_t)r;
		}
	}
	return 0;
}

static enum lk_boot port_boot(void *ctx)
{
	(void)ctx;
	return host.boot;
}

static int port_net_join(void *ctx, const char *ssid, const char *password)
{
	(void)ctx, (void)ssid, (void)password;
	return 0;
}

static bool port_net_ready(void *ctx)
{
	(void)ctx;
	return true;
}

static int port_udp_open(void *own, const char *name, uint16_t port)
{
	return lk_host_udp_open(&((struct node *)own)->udp, name, port);
}

static int port_udp_ask(void *own, const char *name, bool local)
{
	return lk_host_udp_ask(&((struct node *)own)->udp, name, local);
}

static int port_udp_send(void *own, const uint8_t *b, size_t n)
{
	return lk_host_udp_send(((const struct node *)own)->udp, b, n);
}

static int port_udp_recv(void *own, uint8_t *b, size_t cap)
{
	return lk_host_udp_recv(((const struct node *)own)->udp, b, cap);
}

static void ask(enum lk_world_ask what)
{
	struct lk_host_heap heap = lk_host_heap();

	switch (what) {
	case LK_WORLD_NOTHING:
	case LK_WORLD_UNALIGNED:
		break;
	case LK_WORLD_HANG:
		for (;;) {
			pause();
		}
	case LK_WORLD_OOM:
		lk_host_heap_limit(host.world.number);
		break;
	case LK_WORLD_REBIND:
		for (int i = 0; i < host.count; i++) {
			lk_host_udp_rebind(&host.nodes[i].udp);
		}
		break;
	case LK_WORLD_STAT:
		pthread_mutex_lock(&host.mu);
		say("stat heap=%zu peak=%zu stack=0 allocs=%lu", heap.now, heap.peak, heap.allocs);
		pthread_mutex_unlock(&host.mu);
		break;
	case LK_WORLD_BAD:
		fprintf(stderr, "stdin: no such line of the world\n");
		stop();
		exit(LK_HOST_FAILED);
	}
}

/* Reads one byte, so that the world and the console get their lines in order. */
static void read_stdin(void)
{
	uint8_t c;
	ssize_t n = read(STDIN_FILENO, &c, 1);

	if (n > 0) {
		ask(lk_world_feed(&host.world, c));
	} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
		stop();
		exit(0);
	}
}

static void port_udp_wait(void *ctx, uint32_t ms)
{
	struct pollfd fds[1 + LK_MOST_NODES] = {{.fd = STDIN_FILENO, .events = POLLIN}};
	nfds_t count = 1;
	uint64_t now = monotonic(), end = now + ms;
	bool came = false;

	(void)ctx;
	for (int i = 0; i < host.count; i++) {
		fds[count++] = (struct pollfd){.fd = host.nodes[i].udp, .events = POLLIN};
	}
	/* A change in the world does not wake the node, which polls its inputs. */
	while (!came && !lk_world_console_pending(&host.world)) {
		bool any = poll(fds, count, end - now > INT_MAX ? INT_MAX : (int)(end - now)) > 0;

		for (nfds_t i = 1; any && i < count; i++) {
			came |= fds[i].revents != 0;
		}
		if (any && fds[0].revents != 0) {
			read_stdin();
		}
		now = monotonic();
		if (now >= end) {
			return;
		}
	}
}

static int port_spi(void *ctx, const uint8_t *tx, uint8_t *rx, size_t n)
{
	(void)ctx;
	if (n < 2 || n > 64) {
		return LK_ERANGE;
	}
	mfrc522_model_spi(&host.world.chip, tx, rx, n);
	return 0;
}

static void port_chip_reset(void *ctx, bool held)
{
	(void)ctx;
	mfrc522_model_reset(&host.world.chip, held);
}

static bool port_input(void *ctx, enum lk_input which)
{
	(void)ctx;
	return host.world.input[which];
}

static void port_output(void *ctx, uint8_t level, uint32_t ms)
{
	(void)ctx;
	pthread_mutex_lock(&host.mu);
	set_output(level, ms);
	pthread_cond_signal(&host.changed);
	pthread_mutex_unlock(&host.mu);
}

static void port_led(void *ctx, bool on)
{
	(void)ctx;
	if (host.show_led && host.led != on) {
		pthread_mutex_lock(&host.mu);
		say("led %d", on);
		pthread_mutex_unlock(&host.mu);
	}
	host.led = on;
}

static uint32_t port_voltage(void *ctx)
{
	(void)ctx;
	return host.world.voltage;
}

static int32_t port_rssi(void *ctx)
{
	(void)ctx;
	return host.world.rssi;
}

static void port_feed(void *ctx)
{
	(void)ctx;
	pthread_mutex_lock(&host.mu);
	host.bite_at = monotonic() + WATCHDOG_MS;
	pthread_mutex_unlock(&host.mu);
}

static void port_restart(void *ctx)
{
	(void)ctx;
	stop();
	say("reset restart");
	lk_host_leave_boot(LK_BOOT_RESET);
	exit(LK_HOST_RESTART);
}

static void port_sleep(void *ctx, uint32_t ms)
{
	(void)ctx;
	stop();
	say("sleep %lu", (unsigned long)ms);
	lk_host_leave_boot(LK_BOOT_WAKE);
	exit(0);
}

static int port_console_read(void *ctx)
{
	(void)ctx;
	return lk_world_console_read(&host.world);
}

static void port_print(void *ctx, const char *text)
{
	size_t n = strlen(text);

	(void)ctx;
	if (n == 0) {
		return;
	}
	pthread_mutex_lock(&host.mu);
	fputs(text, stdout);
	fflush(stdout);
	host.mid_line = text[n - 1] != '\n';
	pthread_mutex_unlock(&host.mu);
}

static int port_kv_get(void *own, const char *key, uint8_t *b, size_t cap)
{
	return lk_host_kv_get(((const struct node *)own)->name, key, b, cap);
}

static int port_kv_set(void *own, const char *key, const uint8_t *b, size_t n)
{
	return lk_host_kv_set(((const struct node *)own)->name, key, b, n);
}

static void port_log(void *own, const char *text, uint32_t number)
{
	const char *name = ((const struct node *)own)->name;

	pthread_mutex_lock(&host.mu);
	say("log %s%s%s %lu", name, *name ? ": " : "", text, (unsigned long)number);
	pthread_mutex_unlock(&host.mu);
}

void lk_host_add_node(struct lk_port *port, const char *name)
{
	struct node *n = &host.nodes[host.count++];

	*n = (struct node){.name = name, .udp = -1};
	port->own = n;
}

int lk_host_start(struct lk_port *port, const char *boot, bool show_led)
{
	int why = lk_host_boot_reason(boot);
	pthread_condattr_t attr;
	pthread_t thread;

	if (why < 0) {
		return why;
	}
	host.boot = (enum lk_boot)why;
	if (host.boot == LK_BOOT_POWER) {
		unlink("rtc.bin");
	}
	host.show_led = show_led;
	lk_world_init(&host.world);
	host.bite_at = monotonic() + WATCHDOG_MS;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (pthread_cond_init(&host.changed, &attr) != 0 || pthread_create(&thread, NULL, timers, NULL) != 0) {
		return LK_EIO;
	}
	pthread_detach(thread);
	*port = (struct lk_port){
		.now = port_now,
		.random = port_random,
		.boot = port_boot,
		.net_join = port_net_join,
		.net_ready = port_net_ready,
		.udp_open = port_udp_open,
		.udp_ask = port_udp_ask,
		.udp_send = port_udp_send,
		.udp_recv = port_udp_recv,
		.udp_wait = port_udp_wait,
		.kv_get = port_kv_get,
		.kv_set = port_kv_set,
		.rtc_get = lk_host_rtc_get,
		.rtc_set = lk_host_rtc_set,
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
	lk_host_add_node(port, "");
	return 0;
}
