/*
 * A reader and a lock over MQTT, for benchmarks: one process with two TLS-PSK connections. The
 * reader publishes scans at a fixed rate, whether or not the ones before were answered; the lock
 * answers each command with a receipt. All have QoS 1, and there is one thread.
 *
 *     node PORT READER LOCK RATE WARMUP COUNT FIRST < SECRET
 *
 * PORT is the broker's port on 127.0.0.1, READER and LOCK are the two identities, RATE is scans a
 * second, WARMUP scans are sent first and not reported, FIRST is the first scan counter. SECRET is
 * one line, the key of both in hex. It prints a line for each of COUNT scans:
 *
 *     INDEX RELAY VERDICT
 *
 * RELAY and VERDICT are the microseconds from the scheduled time until the command arrived at the
 * lock, and until a verdict arrived that grants; -1 if none arrived within 3 s.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <mosquitto.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "wire.h"

#define SECOND 1000000000
#define PATIENT ((int64_t)3 * SECOND)
#define KEEPALIVE 60
#define SCANS_MAX 1000000
#define TOPIC_SCAN "scan/1"
#define TOPIC_VERDICT "verdict/1"
#define TOPIC_LOCK "lock/1"
#define TOPIC_RECEIPT "receipt/1"

struct scan {
	int64_t due; /* when it is to be sent, ns */
	int64_t relay, verdict; /* when they arrived, or 0 */
};

struct node {
	struct mosquitto *reader, *lock;
	struct scan *scans;
	size_t total, sent, answered; /* answered in any way */
	uint64_t first;
	int ready; /* subscriptions that the broker has confirmed */
	const char *failed; /* what went wrong in a callback */
};

static const uint8_t uid[] = {0x04, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0x80};

static int64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

static struct scan *scan_of(const struct node *n, uint64_t counter) {
	if (counter < n->first || counter - n->first >= n->sent) {
		return NULL;
	}
	return &n->scans[counter - n->first];
}

static bool publish(struct mosquitto *m, const char *topic, const uint8_t *b, int len) {
	return len > 0 && mosquitto_publish(m, NULL, topic, len, b, 1, false) == MOSQ_ERR_SUCCESS;
}

static bool send_scan(struct node *n) {
	struct lk_scan s = {.n = n->first + n->sent, .uid_len = sizeof uid};
	uint8_t b[LK_WIRE_MAX];
	memcpy(s.uid, uid, sizeof uid);
	n->sent++;
	return publish(n->reader, TOPIC_SCAN, b, lk_scan_encode(&s, b, sizeof b));
}

static void on_command(struct mosquitto *m, void *arg, const struct mosquitto_message *msg) {
	int64_t at = now();
	struct node *n = arg;
	struct lk_command c;
	if (lk_command_parse(&c, msg->payload, (size_t)msg->payloadlen) < 0) {
		n->failed = "a command is malformed";
		return;
	}
	struct scan *s = scan_of(n, c.id);
	if (s && !s->relay) {
		s->relay = at;
	}
	struct lk_receipt r = {.result = LK_DONE, .state = {.id = c.id, .on = true, .left = c.duration}};
	uint8_t b[LK_WIRE_MAX];
	if (!publish(m, TOPIC_RECEIPT, b, lk_receipt_encode(&r, b, sizeof b))) {
		n->failed = "a receipt was not sent";
	}
}

static void on_verdict(struct mosquitto *m, void *arg, const struct mosquitto_message *msg) {
	int64_t at = now();
	struct node *n = arg;
	struct lk_verdict v;
	(void)m;
	if (lk_verdict_parse(&v, msg->payload, (size_t)msg->payloadlen) < 0) {
		n->failed = "a verdict is malformed";
		return;
	}
	struct scan *s = scan_of(n, v.last);
	if (s && !s->verdict && v.verdict == LK_GRANTED) {
		s->verdict = at;
		n->answered++;
	}
}

static void on_connect(struct mosquitto *m, void *arg, int code) {
	struct node *n = arg;
	if (code != 0) {
		n->failed = "the broker refuses the connection";
	} else if (mosquitto_subscribe(m, NULL, m == n->lock ? TOPIC_LOCK : TOPIC_VERDICT, 1) !=
			MOSQ_ERR_SUCCESS) {
		n->failed = "not subscribed";
	}
}

static void on_subscribe(struct mosquitto *m, void *arg, int mid, int count, const int *granted) {
	struct node *n = arg;
	(void)m, (void)mid;
	if (count != 1 || granted[0] != 1) {
		n->failed = "the broker refuses the subscription";
	}
	n->ready++;
}

static struct mosquitto *dial(struct node *n, int port, const char *secret, const char *identity,
		void (*on_message)(struct mosquitto *, void *, const struct mosquitto_message *)) {
	struct mosquitto *m = mosquitto_new(identity, true, n);
	if (!m) {
		return NULL;
	}
	mosquitto_connect_callback_set(m, on_connect);
	mosquitto_subscribe_callback_set(m, on_subscribe);
	mosquitto_message_callback_set(m, on_message);
	int err = mosquitto_tls_psk_set(m, secret, identity, NULL);
	err = err ? err : mosquitto_int_option(m, MOSQ_OPT_TCP_NODELAY, 1);
	/* No limit: the rate decides how many are under way. */
	err = err ? err : mosquitto_max_inflight_messages_set(m, 0);
	err = err ? err : mosquitto_connect(m, "127.0.0.1", port, KEEPALIVE);
	if (err) {
		fprintf(stderr, "node: connect as %s: %s\n", identity, mosquitto_strerror(err));
		mosquitto_destroy(m);
		return NULL;
	}
	return m;
}

/* Waits for one of the two connections, until the given time at most, and serves both. */
static int serve_connections(struct node *n, int64_t until) {
	struct mosquitto *both[] = {n->reader, n->lock};
	struct pollfd p[2];
	for (int i = 0; i < 2; i++) {
		p[i] = (struct pollfd){.fd = mosquitto_socket(both[i]), .events = POLLIN};
		if (mosquitto_want_write(both[i])) {
			p[i].events |= POLLOUT;
		}
	}
	int64_t left = until - now();
	left = left > 0 ? left : 0;
	struct timespec t = {.tv_sec = (time_t)(left / SECOND), .tv_nsec = (long)(left % SECOND)};
	if (ppoll(p, 2, &t, NULL) < 0 && errno != EINTR) {
		return MOSQ_ERR_ERRNO;
	}
	int err = MOSQ_ERR_SUCCESS;
	for (int i = 0; i < 2 && !err; i++) {
		if (p[i].revents & (POLLIN | POLLERR | POLLHUP)) {
			err = mosquitto_loop_read(both[i], 1);
		}
		if (!err && mosquitto_want_write(both[i])) { /* sends what the read caused, without a wait */
			err = mosquitto_loop_write(both[i], 1);
		}
		err = err ? err : mosquitto_loop_misc(both[i]);
	}
	return err;
}

/* Sends all scans when they are due and waits for the last answer. */
static int send_scans(struct node *n, int64_t gap) {
	int64_t start = now() + SECOND / 100;
	for (size_t i = 0; i < n->total; i++) {
		n->scans[i].due = start + (int64_t)i * gap;
	}
	int64_t end = n->scans[n->total - 1].due + PATIENT;
	while (!n->failed && (n->sent < n->total || n->answered < n->total)) {
		int64_t at = now();
		if (at >= end && n->sent == n->total) {
			break;
		}
		if (n->sent < n->total && n->scans[n->sent].due <= at) {
			if (!send_scan(n)) {
				n->failed = "a scan was not sent";
			}
			continue;
		}
		int err = serve_connections(n, n->sent < n->total ? n->scans[n->sent].due : end);
		if (err) {
			fprintf(stderr, "node: %s\n", mosquitto_strerror(err));
			return 1;
		}
	}
	return n->failed != NULL;
}

/* Returns a time as it is printed. What arrived too late counts as missing. */
static int64_t elapsed(int64_t due, int64_t at) {
	return at == 0 || at - due > PATIENT ? -1 : (at - due) / 1000;
}

static bool number(const char *s, uint64_t least, uint64_t most, uint64_t *v) {
	char *end;
	errno = 0;
	*v = strtoull(s, &end, 10);
	return errno == 0 && s[0] >= '0' && s[0] <= '9' && *end == 0 && *v >= least && *v <= most;
}

static int run(struct node *n, int port, const char *secret, char *const identity[2], int64_t gap) {
	n->reader = dial(n, port, secret, identity[0], on_verdict);
	n->lock = n->reader ? dial(n, port, secret, identity[1], on_command) : NULL;
	if (!n->lock) {
		return 1;
	}
	for (int64_t end = now() + PATIENT; n->ready < 2 && !n->failed;) {
		int err = serve_connections(n, end);
		if (err || now() >= end) {
			fprintf(stderr, "node: not connected: %s\n", err ? mosquitto_strerror(err) : "no answer");
			return 1;
		}
	}
	return n->failed ? 1 : send_scans(n, gap);
}

int main(int argc, char **argv) {
	uint64_t port, rate, warmup, count;
	struct node n = {0};
	char secret[128];
	if (argc != 8 || !number(argv[1], 1, 65535, &port) || !number(argv[4], 1, 100000, &rate) ||
			!number(argv[5], 0, SCANS_MAX, &warmup) || !number(argv[6], 1, SCANS_MAX, &count) ||
			!number(argv[7], 1, LK_COUNTER_MAX - 2 * SCANS_MAX, &n.first) ||
			!fgets(secret, sizeof secret, stdin)) {
		fprintf(stderr, "usage: node PORT READER LOCK RATE WARMUP COUNT FIRST < SECRET\n");
		return 2;
	}
	secret[strcspn(secret, "\n")] = 0;
	prctl(PR_SET_TIMERSLACK, 1UL); /* so that a scan is sent when it is due and not 50 us later */
	n.total = (size_t)(warmup + count);
	n.scans = calloc(n.total, sizeof *n.scans);
	if (!n.scans || mosquitto_lib_init() != MOSQ_ERR_SUCCESS) {
		return 1;
	}
	int err = run(&n, (int)port, secret, &argv[2], SECOND / (int64_t)rate);
	if (n.failed) {
		fprintf(stderr, "node: %s\n", n.failed);
	}
	for (size_t i = (size_t)warmup; !err && i < n.total; i++) {
		const struct scan *s = &n.scans[i];
		printf("%zu %" PRId64 " %" PRId64 "\n", i - (size_t)warmup, elapsed(s->due, s->relay),
			elapsed(s->due, s->verdict));
	}
	struct mosquitto *both[] = {n.reader, n.lock};
	for (int i = 0; i < 2; i++) {
		if (both[i]) {
			mosquitto_disconnect(both[i]);
			mosquitto_destroy(both[i]);
		}
	}
	mosquitto_lib_cleanup();
	free(n.scans);
	return err;
}
