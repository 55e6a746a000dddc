#include "fake_port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

struct fake_heap fake_heap;

/* Stands before each block. Its size keeps the block aligned for any type. */
union heap_head {
	size_t n;
	max_align_t align;
};

void *lk_port_calloc(size_t n, size_t size)
{
	if (size != 0 && n > SIZE_MAX / 2 / size) {
		return NULL;
	}
	size_t want = n * size;
	if (fake_heap.limit != 0 && (want > fake_heap.limit || fake_heap.used > fake_heap.limit - want)) {
		return NULL;
	}
	union heap_head *head = calloc(1, sizeof *head + want);
	if (head == NULL) {
		return NULL;
	}
	head->n = want;
	fake_heap.used += want;
	fake_heap.allocs++;
	if (fake_heap.used > fake_heap.peak) {
		fake_heap.peak = fake_heap.used;
	}
	return head + 1;
}

void lk_port_free(void *p)
{
	if (p == NULL) {
		return;
	}
	union heap_head *head = (union heap_head *)p - 1;
	fake_heap.used -= head->n;
	fake_heap.allocs--;
	free(head);
}

static void copy(char *to, size_t cap, const char *from)
{
	snprintf(to, cap, "%s", from);
}

static uint32_t now(void *ctx)
{
	return ((struct fake_port *)ctx)->now;
}

static int get_random(void *ctx, uint8_t *buf, size_t n)
{
	struct fake_port *f = ctx;
	if (f->random_fails) {
		return LK_EIO;
	}
	for (size_t i = 0; i < n; i++) {
		if (f->random_n > 0) {
			buf[i] = *f->random++;
			f->random_n--;
			continue;
		}
		f->random_state ^= f->random_state << 13;
		f->random_state ^= f->random_state >> 17;
		f->random_state ^= f->random_state << 5;
		buf[i] = (uint8_t)(f->random_state >> 24);
	}
	return 0;
}

static enum lk_boot boot(void *ctx) { return ((struct fake_port *)ctx)->boot; }

static int net_join(void *ctx, const char *ssid, const char *password)
{
	struct fake_port *f = ctx;
	f->joins++;
	copy(f->ssid, sizeof f->ssid, ssid);
	copy(f->password, sizeof f->password, password);
	return f->join_result;
}

static bool net_ready(void *ctx) { return ((struct fake_port *)ctx)->net; }

static int udp_open(void *ctx, const char *host, uint16_t port)
{
	struct fake_port *f = ctx;
	f->opens++;
	copy(f->host, sizeof f->host, host);
	f->host_port = port;
	f->inbox_n = 0;
	return f->open_result;
}

static int udp_ask(void *ctx, const char *name, bool local)
{
	struct fake_port *f = ctx;
	f->asks++;
	f->asks_local = local;
	copy(f->host, sizeof f->host, name);
	f->host_port = 0;
	f->inbox_n = 0;
	return f->ask_result;
}

static void push(struct fake_datagram *queue, size_t *count, const uint8_t *b, size_t n)
{
	if (*count == FAKE_QUEUE || n > FAKE_DATAGRAM) {
		return; /* lost, as on a network */
	}
	memcpy(queue[*count].b, b, n);
	queue[(*count)++].n = n;
}

static size_t pop(struct fake_datagram *queue, size_t *count, uint8_t *b, size_t cap)
{
	if (*count == 0) {
		return 0;
	}
	size_t n = queue[0].n < cap ? queue[0].n : cap;
	memcpy(b, queue[0].b, n);
	(*count)--;
	memmove(queue, queue + 1, *count * sizeof *queue);
	return n;
}

static int udp_send(void *ctx, const uint8_t *b, size_t n)
{
	struct fake_port *f = ctx;
	if (f->send_result < 0) {
		return f->send_result;
	}
	f->sent_total++;
	push(f->sent, &f->sent_n, b, n);
	return 0;
}

static int udp_recv(void *ctx, uint8_t *b, size_t cap)
{
	struct fake_port *f = ctx;
	return (int)pop(f->inbox, &f->inbox_n, b, cap);
}

static void udp_wait(void *ctx, uint32_t ms)
{
	struct fake_port *f = ctx;
	if (f->inbox_n > 0 || f->typed_n > 0) {
		return;
	}
	if (f->on_wait != NULL) {
		f->on_wait(f->on_wait_ctx, ms);
	}
	if (f->inbox_n == 0) {
		f->waited += ms;
		fake_pass_time(f, ms);
	}
}

static struct fake_value *find(const struct fake_port *f, const char *key)
{
	for (size_t i = 0; i < FAKE_KEYS; i++) {
		if (strncmp(f->kv[i].key, key, sizeof f->kv[i].key) == 0) {
			return (struct fake_value *)&f->kv[i];
		}
	}
	return NULL;
}

static int kv_get(void *ctx, const char *key, uint8_t *b, size_t cap)
{
	const struct fake_port *f = ctx;
	if (f->kv_get_fails) {
		return LK_EIO;
	}
	const struct fake_value *v = find(f, key);
	if (v == NULL) {
		return 0;
	}
	if (v->n > cap) {
		return LK_ESPACE;
	}
	memcpy(b, v->b, v->n);
	return (int)v->n;
}

static int kv_set(void *ctx, const char *key, const uint8_t *b, size_t n)
{
	struct fake_port *f = ctx;
	if (f->kv_power == 0) {
		return LK_EIO;
	}
	if (f->kv_power > 0) {
		f->kv_power--;
	}
	f->kv_writes++;
	fake_kv_put(f, key, b, n);
	return 0;
}

static int rtc_get(void *ctx, uint8_t *b, size_t n)
{
	const struct fake_port *f = ctx;
	if (f->rtc_fails || n > sizeof f->rtc || n % 4 != 0) {
		return LK_EIO;
	}
	memcpy(b, f->rtc, n);
	return 0;
}

static int rtc_set(void *ctx, const uint8_t *b, size_t n)
{
	struct fake_port *f = ctx;
	if (f->rtc_fails || n > sizeof f->rtc || n % 4 != 0) {
		return LK_EIO;
	}
	memcpy(f->rtc, b, n);
	return 0;
}

static int spi(void *ctx, const uint8_t *tx, uint8_t *rx, size_t n)
{
	struct fake_port *f = ctx;
	f->spis++;
	if (n < 2 || n > 64) {
		return LK_EIO;
	}
	if (f->spi != NULL) {
		return f->spi(f->spi_ctx, tx, rx, n);
	}
	memset(rx, 0, n);
	return 0;
}

static void chip_reset(void *ctx, bool held)
{
	struct fake_port *f = ctx;
	f->chip_resets += held && !f->chip_held;
	f->chip_held = held;
}

static bool input(void *ctx, enum lk_input which)
{
	return ((const struct fake_port *)ctx)->inputs[which];
}

static void set_output(struct fake_port *f, uint8_t level, uint32_t ms, bool timer)
{
	f->level = level;
	f->off_armed = level > 0 && ms > 0;
	f->off_at = f->now + ms;
	if (f->output_n < FAKE_OUTPUTS) {
		f->outputs[f->output_n++] = (struct fake_output){f->now, level, ms, timer};
	}
}

static void output(void *ctx, uint8_t level, uint32_t ms)
{
	set_output(ctx, level, ms, false);
}

static void led(void *ctx, bool on)
{
	struct fake_port *f = ctx;
	f->leds += f->led != on;
	f->led = on;
}

static uint32_t voltage(void *ctx)
{
	return ((const struct fake_port *)ctx)->voltage;
}

static int32_t rssi(void *ctx)
{
	return ((const struct fake_port *)ctx)->rssi;
}

static void feed(void *ctx)
{
	((struct fake_port *)ctx)->feeds++;
}

static void restart(void *ctx)
{
	((struct fake_port *)ctx)->restarts++;
}

static void sleep_for(void *ctx, uint32_t ms)
{
	struct fake_port *f = ctx;
	f->sleeps++;
	f->slept = ms;
}

static int console_read(void *ctx)
{
	struct fake_port *f = ctx;
	if (f->typed_n == 0) {
		return -1;
	}
	f->typed_n--;
	return (uint8_t)*f->typed++;
}

static void append(char *text, size_t *n, const char *more)
{
	size_t fits = FAKE_TEXT - 1 - *n, len = strlen(more);
	len = len < fits ? len : fits;
	memcpy(text + *n, more, len);
	*n += len;
	text[*n] = '\0';
}

static void print(void *ctx, const char *text)
{
	struct fake_port *f = ctx;
	append(f->printed, &f->printed_n, text);
}

static void log_line(void *ctx, const char *text, uint32_t number)
{
	struct fake_port *f = ctx;
	char tail[16];
	snprintf(tail, sizeof tail, " %lu\n", (unsigned long)number);
	append(f->logged, &f->logged_n, text);
	append(f->logged, &f->logged_n, tail);
}

static const struct lk_port functions = {
	.now = now, .random = get_random, .boot = boot,
	.net_join = net_join, .net_ready = net_ready,
	.udp_open = udp_open, .udp_ask = udp_ask, .udp_send = udp_send, .udp_recv = udp_recv, .udp_wait = udp_wait,
	.kv_get = kv_get, .kv_set = kv_set, .rtc_get = rtc_get, .rtc_set = rtc_set,
	.spi = spi, .chip_reset = chip_reset,
	.input = input, .output = output, .led = led, .voltage = voltage, .rssi = rssi,
	.feed = feed, .restart = restart, .sleep = sleep_for,
	.console_read = console_read, .print = print, .log = log_line,
};

void fake_init(struct fake_port *f)
{
	memset(f, 0, sizeof *f);
	f->port = functions;
	f->port.ctx = f->port.own = f;
	f->random_state = 2463534242u;
	f->net = true;
	f->ask_result = LK_ENONE;
	f->kv_power = -1;
	f->voltage = 3300;
	f->rssi = -60;
}

void fake_reboot(struct fake_port *f, enum lk_boot why)
{
	f->boot = why;
	f->now = 0;
	f->kv_power = -1;
	f->sent_n = f->inbox_n = 0;
	f->level = 0;
	f->off_armed = false;
	f->output_n = 0;
	f->typed_n = 0;
	f->logged_n = 0;
	f->logged[0] = '\0';
	fake_clear_printed(f);
	if (why != LK_BOOT_WAKE) {
		memset(f->rtc, 0xa5, sizeof f->rtc); /* bytes that no program wrote */
	}
}

void fake_pass_time(struct fake_port *f, uint32_t ms)
{
	uint32_t end = f->now + ms;
	if (f->off_armed && (int32_t)(end - f->off_at) >= 0) {
		f->now = f->off_at;
		set_output(f, 0, 0, true);
	}
	f->now = end;
}

const char *fake_kv(const struct fake_port *f, const char *key)
{
	const struct fake_value *v = find(f, key);
	return v == NULL ? NULL : (const char *)v->b;
}

void fake_kv_put(struct fake_port *f, const char *key, const void *b, size_t n)
{
	struct fake_value *v = find(f, key);
	if (v == NULL && n > 0) {
		v = find(f, "");
	}
	if (v == NULL && n == 0) {
		return;
	}
	if (v == NULL || strlen(key) >= sizeof v->key || n >= sizeof v->b) {
		fprintf(stderr, "fake_port: flash has no place for %zu bytes of %s\n", n, key);
		abort();
	}
	memset(v, 0, sizeof *v);
	if (n > 0) {
		copy(v->key, sizeof v->key, key);
		memcpy(v->b, b, n);
		v->n = n;
	}
}

void fake_kv_put_text(struct fake_port *f, const char *key, const char *text)
{
	fake_kv_put(f, key, text, strlen(text));
}

void fake_provision(struct fake_port *f, const char *kind, const char *identity)
{
	fake_kv_put_text(f, "identity", identity);
	fake_kv_put_text(f, "secret", "0123456789abcdefghjkmnpqrs");
	fake_kv_put_text(f, "gateway", "192.0.2.1:5684");
	fake_kv_put_text(f, "kind", kind);
}

void fake_deliver(struct fake_port *f, const uint8_t *b, size_t n)
{
	push(f->inbox, &f->inbox_n, b, n);
}

size_t fake_take_sent(struct fake_port *f, uint8_t *b, size_t cap)
{
	return pop(f->sent, &f->sent_n, b, cap);
}

void fake_type(struct fake_port *f, const char *text)
{
	f->typed = text;
	f->typed_n = strlen(text);
}

void fake_clear_printed(struct fake_port *f)
{
	f->printed_n = 0;
	f->printed[0] = '\0';
}
