#define _GNU_SOURCE
#include "udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "err.h"

static int connect_to(const struct sockaddr *to, socklen_t n)
{
	int fd = socket(to->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, to, n) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int lk_host_udp_open(int *fd, const char *name, uint16_t port)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM}, *found;
	char service[8];

	if (*fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	snprintf(service, sizeof service, "%u", (unsigned)port);
	if (getaddrinfo(name, service, &hints, &found) != 0) {
		return LK_EIO;
	}
	for (struct addrinfo *a = found; a != NULL && *fd < 0; a = a->ai_next) {
		*fd = connect_to(a->ai_addr, a->ai_addrlen);
	}
	freeaddrinfo(found);
	return *fd < 0 ? LK_EIO : 0;
}

/* Reads the address of the first DNS server of this machine. */
static bool read_server(char server[64])
{
	char line[256];
	bool found = false;
	FILE *f = fopen("/etc/resolv.conf", "re");

	while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
		found = sscanf(line, "nameserver %63s", server) == 1;
	}
	if (f != NULL) {
		fclose(f);
	}
	return found;
}

int lk_host_udp_ask(int *fd, const char *name, bool local)
{
	char server[64];

	if (strcasecmp(name, "localhost") == 0 || (!local && !read_server(server))) {
		return LK_ENONE;
	}
	if (!local) {
		return lk_host_udp_open(fd, server, 53);
	}
	if (*fd >= 0) {
		close(*fd);
	}
	*fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); /* not connected */
	return *fd < 0 ? LK_EIO : 0;
}

void lk_host_udp_rebind(int *fd)
{
	struct sockaddr_storage to;
	socklen_t n = sizeof to;

	if (*fd < 0 || getpeername(*fd, (struct sockaddr *)&to, &n) != 0) {
		return;
	}
	int other = connect_to((struct sockaddr *)&to, n);
	if (other >= 0) {
		close(*fd);
		*fd = other;
	}
}

int lk_host_udp_send(int fd, const uint8_t *b, size_t n)
{
	if (fd < 0) {
		return LK_EIO;
	}
	/* The first try may only return the error of the datagram before, which nobody received. */
	for (int i = 0; i < 2; i++) {
		if (send(fd, b, n, 0) == (ssize_t)n) {
			return (int)n;
		}
	}
	if (errno == EDESTADDRREQ) {
		struct sockaddr_in group = {.sin_family = AF_INET, .sin_port = htons(5353)};

		group.sin_addr.s_addr = htonl(0xe00000fb); /* 224.0.0.251 */
		(void)sendto(fd, b, n, 0, (const struct sockaddr *)&group, sizeof group);
		return (int)n;
	}
	/* A datagram to an address without a listener or a route is lost, as by radio. */
	return errno == EMSGSIZE || errno == EBADF ? LK_EIO : (int)n;
}

int lk_host_udp_recv(int fd, uint8_t *b, size_t cap)
{
	for (;;) {
		ssize_t r = fd < 0 ? 0 : recv(fd, b, cap, 0);

		if (r > 0) {
			return (int)r;
		}
		if (fd < 0 || (r < 0 && errno != ECONNREFUSED && errno != EINTR)) {
			return 0;
		}
	}
}
