/*
 * run ELF [HOST PORT [ARG...]]: starts an image in QEMU, in the current directory, with what it
 * needs from whoever starts it: four UDP sockets to HOST:PORT as fds 3…6, a clock that ticks each
 * millisecond as fd 7, the folder kv. With "self" for HOST each socket gets back what it sends;
 * without HOST and PORT the sockets are the caller's, who left them open there. ARGs are those of
 * port_qemu.c.
 */
#define _GNU_SOURCE
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { FIRST_SOCKET = 3, SOCKETS = 4, CLOCK = FIRST_SOCKET + SOCKETS, ARGS = 8 };

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(2);
}

/* What whoever started this had open there goes. */
static void put(int fd, int at, const char *what)
{
	if (fd < 0 || (fd != at && (dup2(fd, at) < 0 || close(fd) != 0))) {
		fail(what);
	}
}

static int to_self(void)
{
	struct sockaddr_storage a = {.ss_family = AF_INET};
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(struct sockaddr_storage)) != 0 ||
		getsockname(fd, (struct sockaddr *)&a, &n) != 0 || connect(fd, (struct sockaddr *)&a, n) != 0) {
		fail("socket to itself");
	}
	return fd;
}

static int to(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found;
	int fd;

	if (getaddrinfo(host, port, &hints, &found) != 0) {
		fprintf(stderr, "run: no such address: %s port %s\n", host, port);
		exit(2);
	}
	fd = socket(found->ai_family, SOCK_DGRAM, 0);
	if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
		fail("socket");
	}
	freeaddrinfo(found);
	return fd;
}

int main(int argc, char **argv)
{
	static char config[512];
	char *qemu[] = {"qemu-system-xtensa", "-M", "sim", "-cpu", "lx106", "-m", "4M", "-display", "none",
		"-serial", "none", "-monitor", "none", "-icount", "shift=5,align=off,sleep=off",
		"-semihosting-config", config, "-kernel", argv[1], NULL};
	struct itimerspec each = {{0, 1000000}, {0, 1000000}};
	int used;

	if (argc < 2 || argc == 3 || argc > 4 + ARGS) {
		fprintf(stderr, "usage: %s ELF [HOST PORT [ARG...]]\n", argv[0]);
		return 2;
	}
	for (int i = FIRST_SOCKET; i < CLOCK && argc > 2; i++) {
		put(strcmp(argv[2], "self") == 0 ? to_self() : to(argv[2], argv[3]), i, "socket");
	}
	put(timerfd_create(CLOCK_MONOTONIC, 0), CLOCK, "clock");
	if (timerfd_settime(CLOCK, 0, &each, NULL) != 0) {
		fail("clock");
	}
	if (mkdir("kv", 0700) != 0 && access("kv", W_OK) != 0) {
		fail("kv");
	}
	used = snprintf(config, sizeof config, "enable=on,target=native,arg=node,arg=clock=%d,arg=sockets=%d",
		CLOCK, SOCKETS);
	for (int i = 4; i < argc; i++) {
		used += snprintf(config + used, sizeof config - (size_t)used, ",arg=%.32s", argv[i]);
	}
	execvp(qemu[0], qemu);
	fail(qemu[0]);
}
