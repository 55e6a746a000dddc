/*
 * A DTLS client made only of wolfSSL as Debian builds it, for tests. It contains no code of
 * latchkey.
 *
 *     client HOST PORT IDENTITY CIPHER
 *
 * The first line of its standard input is the key. Each further line is sent in one record, with
 * its line end. It prints what it receives. At the end of its input it sends a close_notify.
 */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned char key[64];
static int key_len;
static const char *identity;

/* Reads a line, returns its length without its end, and reads nothing after it. */
static int read_line(unsigned char *b, size_t cap)
{
	size_t n = 0;

	while (n < cap && read(STDIN_FILENO, b + n, 1) == 1)
		if (b[n++] == '\n')
			return (int)n - 1;
	return -1;
}

static unsigned int give_key(WOLFSSL *ssl, const char *hint, char *id, unsigned int id_cap,
	unsigned char *out, unsigned int out_cap)
{
	(void)ssl;
	(void)hint;
	if (strlen(identity) >= id_cap || (unsigned int)key_len > out_cap)
		return 0;
	strcpy(id, identity);
	memcpy(out, key, (size_t)key_len);
	return (unsigned int)key_len;
}

static int failed(const char *what, int err)
{
	char text[WOLFSSL_MAX_ERROR_SZ];

	printf("%s: %s\n", what, wolfSSL_ERR_error_string((unsigned long)err, text));
	return 1;
}

static int shake(WOLFSSL *ssl, int fd)
{
	int n;

	while ((n = wolfSSL_connect(ssl)) != SSL_SUCCESS) {
		int err = wolfSSL_get_error(ssl, n);
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (err != SSL_ERROR_WANT_READ && err != SSL_ERROR_WANT_WRITE)
			return err;
		if (poll(&p, 1, 1000 * wolfSSL_dtls_get_current_timeout(ssl)) == 0 &&
			wolfSSL_dtls_got_timeout(ssl) != SSL_SUCCESS)
			return err;
	}
	return 0;
}

/* Sends lines and prints records until one side ends. */
static int talk(WOLFSSL *ssl, int fd)
{
	unsigned char b[2048];

	for (;;) {
		struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
		int n;
		if (poll(fds, 2, -1) < 0)
			return 1;
		if (fds[0].revents != 0) {
			if ((n = read_line(b, sizeof b - 1)) < 0)
				return 0;
			b[n] = '\n';
			if (wolfSSL_write(ssl, b, n + 1) <= 0)
				return failed("write", wolfSSL_get_error(ssl, 0));
		}
		if (fds[1].revents == 0)
			continue;
		while ((n = wolfSSL_read(ssl, b, sizeof b)) > 0)
			(void)!write(STDOUT_FILENO, b, (size_t)n);
		n = wolfSSL_get_error(ssl, n);
		if (n == SSL_ERROR_ZERO_RETURN) {
			printf("closed\n");
			return 0;
		}
		if (n != SSL_ERROR_WANT_READ)
			return failed("read", n);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	WOLFSSL_CTX *ctx;
	WOLFSSL *ssl;
	int fd, err;

	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc != 5 || (key_len = read_line(key, sizeof key)) < 0)
		return 2;
	identity = argv[3];
	to.sin_port = htons((unsigned short)atoi(argv[2]));
	if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	wolfSSL_Init();
	if ((ctx = wolfSSL_CTX_new(wolfDTLSv1_2_client_method())) == NULL ||
		wolfSSL_CTX_set_cipher_list(ctx, argv[4]) != SSL_SUCCESS)
		return failed("cipher list", 0);
	wolfSSL_CTX_set_psk_client_callback(ctx, give_key);
	if ((fd = socket(AF_INET, SOCK_DGRAM, 0)) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
		(ssl = wolfSSL_new(ctx)) == NULL || wolfSSL_dtls_set_peer(ssl, &to, sizeof to) != SSL_SUCCESS ||
		wolfSSL_set_fd(ssl, fd) != SSL_SUCCESS)
		return failed("socket", 0);
	wolfSSL_dtls_set_using_nonblock(ssl, 1);
	if ((err = shake(ssl, fd)) != 0)
		return failed("handshake", err);
	printf("handshake complete: %s\n", wolfSSL_get_cipher(ssl));
	err = talk(ssl, fd);
	wolfSSL_shutdown(ssl);
	wolfSSL_free(ssl);
	wolfSSL_CTX_free(ctx);
	close(fd);
	return err;
}
