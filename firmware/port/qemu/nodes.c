#include "nodes.h"

#include <string.h>

#include "err.h"
#include "files.h"
#include "rt.h"
#include "simcall.h"

enum { FIRST_SOCKET = 3, MOST_SOCKETS = 16 };

struct node {
	const char *name; /* "": the first */
	int udp;          /* -1: none */
};

static struct node nodes[LK_MOST_NODES];
static int count;

static struct {
	int count, next;
	bool used[MOST_SOCKETS];
} sockets;

void nodes_init(int n) { sockets.count = n > MOST_SOCKETS ? MOST_SOCKETS : n; }

/* Replaces fd (below 0: none) by the next free socket, after dropping old datagrams from it.
 * Returns its descriptor, or LK_EIO. */
static int next_socket(int fd)
{
	int i = 0;

	if (fd >= FIRST_SOCKET) {
		sockets.used[fd - FIRST_SOCKET] = false;
	}
	for (int tries = 0; tries < sockets.count; tries++) {
		i = sockets.next++ % sockets.count;
		if (!sockets.used[i]) {
			break;
		}
	}
	fd = FIRST_SOCKET + i;
	while (sim_wait(fd, 0) > 0 && sim_read(fd, rt_page, sizeof rt_page) > 0) {
	}
	if (sim_wait(fd, 0) < 0) {
		return LK_EIO;
	}
	sockets.used[i] = true;
	return fd;
}

void nodes_rebind(void)
{
	for (int i = 0; i < count; i++) {
		if (nodes[i].udp >= 0) {
			nodes[i].udp = next_socket(nodes[i].udp);
		}
	}
}

bool nodes_open(void)
{
	bool open = false;

	for (int i = 0; i < count; i++) {
		open |= nodes[i].udp >= 0;
	}
	return open;
}

bool nodes_wait(uint32_t ms)
{
	int last = 0; /* stdin */

	/* QEMU can wait for one descriptor only, so the others are polled. */
	for (int i = 0; i < count; i++) {
		if (nodes[i].udp < 0) {
			continue;
		}
		if (last > 0 && sim_wait(last, 0) > 0) {
			return true;
		}
		last = nodes[i].udp;
	}
	return sim_wait(last, ms) > 0;
}

static int udp_open(void *own, const char *host, uint16_t port)
{
	struct node *n = own;

	(void)host;
	(void)port;
	rt_count_stop();
	n->udp = next_socket(n->udp);
	return rt_count_run_with(n->udp < 0 ? n->udp : 0);
}

/* The sockets of this board were opened by whoever started it. */
static int udp_ask(void *own, const char *name, bool local)
{
	(void)own;
	(void)name;
	(void)local;
	return LK_ENONE;
}

/* The first try may only return the error of the datagram before. A datagram without a listener
 * is lost, as by radio. */
static int udp_send(void *own, const uint8_t *b, size_t n)
{
	int fd = ((const struct node *)own)->udp;

	if (fd < 0 || n > sizeof rt_page) {
		return LK_EIO;
	}
	rt_count_stop();
	memcpy(rt_page, b, n);
	for (int i = 0; i < 2 && sim_write(fd, rt_page, n) != (int)n; i++) {
	}
	return rt_count_run_with((int)n);
}

static int udp_recv(void *own, uint8_t *b, size_t cap)
{
	int fd = ((const struct node *)own)->udp;

	if (fd < 0) {
		return 0;
	}
	rt_count_stop();
	/* Twice: the first try may only return such an error, too. */
	for (int i = 0; i < 2 && sim_wait(fd, 0) > 0; i++) {
		int n = sim_read(fd, rt_page, cap < sizeof rt_page ? cap : sizeof rt_page);

		if (n > 0) {
			memcpy(b, rt_page, (size_t)n);
			return rt_count_run_with(n);
		}
	}
	return rt_count_run_with(0);
}

static int kv_get(void *own, const char *key, uint8_t *b, size_t cap)
{
	rt_count_stop();
	return rt_count_run_with(rt_key_get(((const struct node *)own)->name, key, b, cap));
}

static int kv_set(void *own, const char *key, const uint8_t *b, size_t n)
{
	rt_count_stop();
	return rt_count_run_with(rt_key_set(((const struct node *)own)->name, key, b, n));
}

static void log_line(void *own, const char *text, uint32_t number)
{
	static struct rt_line l; /* the program's stack mark is to be the program's own */
	const char *name = ((const struct node *)own)->name;

	rt_count_stop();
	rt_line_begin(&l);
	rt_line_text(&l, " log ");
	rt_line_text(&l, name);
	rt_line_text(&l, *name != '\0' ? ": " : "");
	rt_line_text(&l, text);
	rt_line_number(&l, number);
	rt_line_end(&l);
	rt_count_run();
}

void nodes_add(struct lk_port *port, const char *name)
{
	struct node *n = &nodes[count++];

	*n = (struct node){.name = name, .udp = -1};
	port->own = n;
	port->udp_open = udp_open;
	port->udp_ask = udp_ask;
	port->udp_send = udp_send;
	port->udp_recv = udp_recv;
	port->kv_get = kv_get;
	port->kv_set = kv_set;
	port->log = log_line;
}
