#define _GNU_SOURCE
#include "port_host.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "files.h"
#include "heap.h"
#include "world.h"

enum { WATCHDOG_MS = 5000 };

struct host {
	struct lk_world world; /* but for its note of the output, the main thread's own */
	enum lk_boot boot;
	bool show_led, led;
	int udp; /* -1: none */
	pthread_mutex_t mu;
	pthread_cond_t changed;
	/* guarded by mu: what follows, stdout, and the world's note of the output */
	uint64_t let_go_at; /* 0: never */
	uint64_t bite_at;   /* the watchdog */
	bool mid_line;
};

static struct host host = {.udp = -1, .mu = PTHREAD_MUTEX_INITIALIZER};

static uint64_t monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* say prints one line of the board, which never begins in the middle of one of the console's. Called with mu held. */
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

/* stop takes mu for good, so nothing is printed after it. */
static void stop(void)
{
	pthread_mutex_lock(&host.mu);
	set_output(0, 0);
}

/* What goes on when the loop does not. */
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

static int connected(const struct sockaddr *to, socklen_t n)
{
	int fd = socket(to->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, to, n) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int port_udp_open(void *ctx, const char *name, uint16_t port)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM}, *found;
	char service[8];

	(void)ctx;
	if (host.udp >= 0) {
		close(host.udp);
		host.udp = -1;
	}
	snprintf(service, sizeof service, "%u", (unsigned)port);
	if (getaddrinfo(name, service, &hints, &found) != 0) {
		return LK_EIO;
	}
	for (struct addrinfo *a = found; a != NULL && host.udp < 0; a = a->ai_next) {
		host.udp = connected(a->ai_addr, a->ai_addrlen);
	}
	freeaddrinfo(found);
	return host.udp < 0 ? LK_EIO : 0;
}

static void rebind(void)
{
	struct sockaddr_storage to;
	socklen_t n = sizeof to;
	int fd;

	if (host.udp < 0 || getpeername(host.udp, (struct sockaddr *)&to, &n) != 0) {
		return;
	}
	fd = connected((struct sockaddr *)&to, n);
	if (fd >= 0) {
		close(host.udp);
		host.udp = fd;
	}
}

static int port_udp_send(void *ctx, const uint8_t *b, size_t n)
{
	(void)ctx;
	if (host.udp < 0) {
		return LK_EIO;
	}
	/* The first try may only bring the news that nobody took the datagram before. */
	for (int i = 0; i < 2; i++) {
		if (send(host.udp, b, n, 0) == (ssize_t)n) {
			return (int)n;
		}
	}
	/* Where nobody listens and where no way leads, a datagram is lost, as on the air. */
	return errno == EMSGSIZE || errno == EBADF ? LK_EIO : (int)n;
}

static int port_udp_recv(void *ctx, uint8_t *b, size_t cap)
{
	(void)ctx;
	for (;;) {
		ssize_t r = host.udp < 0 ? 0 : recv(host.udp, b, cap, 0);

		if (r > 0) {
			return (int)r;
		}
		if (host.udp < 0 || (r < 0 && errno != ECONNREFUSED && errno != EINTR)) {
			return 0;
		}
	}
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
		rebind();
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

/* read_stdin takes one byte, so that the world and the console are told in the order of the lines. */
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
	uint64_t now = monotonic(), end = now + ms;

	(void)ctx;
	/* What the world changes wakes no node: it finds out when it looks. */
	while (!lk_world_console_pending(&host.world)) {
		struct pollfd fds[] = {{.fd = host.udp, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};

		if (poll(fds, 2, end - now > INT_MAX ? INT_MAX : (int)(end - now)) > 0 && fds[1].revents != 0) {
			read_stdin();
		}
		now = monotonic();
		if (fds[0].revents != 0 || now >= end) {
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

static void port_log(void *ctx, const char *text, uint32_t number)
{
	(void)ctx;
	pthread_mutex_lock(&host.mu);
	say("log %s %lu", text, (unsigned long)number);
	pthread_mutex_unlock(&host.mu);
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
	if (host.boot != LK_BOOT_WAKE) {
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
		.now = port_now, .random = port_random, .boot = port_boot, .net_join = port_net_join, .net_ready = port_net_ready,
		.udp_open = port_udp_open, .udp_send = port_udp_send, .udp_recv = port_udp_recv, .udp_wait = port_udp_wait,
		.kv_get = lk_host_kv_get, .kv_set = lk_host_kv_set, .rtc_get = lk_host_rtc_get, .rtc_set = lk_host_rtc_set, .spi = port_spi,
		.chip_reset = port_chip_reset, .input = port_input, .output = port_output, .led = port_led, .voltage = port_voltage,
		.rssi = port_rssi, .feed = port_feed, .restart = port_restart, .sleep = port_sleep, .console_read = port_console_read,
		.print = port_print, .log = port_log,
	};
	return 0;
}
