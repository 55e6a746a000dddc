/*
 * A DTLS client made only of Mbed TLS as Debian builds it, for tests. It contains no code of
 * latchkey.
 *
 *     client HOST PORT IDENTITY
 *
 * The first line of its standard input is the key. Each further line is sent in one record, with
 * its line end. It prints what it receives.
 */
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/timing.h>
#include <poll.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context rng;
static mbedtls_ssl_config conf;
static mbedtls_ssl_context ssl;
static mbedtls_timing_delay_context timer;
static mbedtls_net_context net;

static int failed(const char *what, int err)
{
	printf("%s: -0x%04x\n", what, (unsigned)-err);
	return 1;
}

/* Reads a line, returns it without its end, and reads nothing after it. */
static int read_line(unsigned char *b, size_t cap)
{
	size_t n = 0;

	while (n < cap && read(STDIN_FILENO, b + n, 1) == 1)
		if (b[n++] == '\n')
			return (int)n - 1;
	return -1;
}

static int connect_to(
	const char *host, const char *port, const unsigned char *key, size_t key_len, const char *identity)
{
	int err;

	mbedtls_net_init(&net);
	mbedtls_ssl_init(&ssl);
	mbedtls_ssl_config_init(&conf);
	mbedtls_ctr_drbg_init(&rng);
	mbedtls_entropy_init(&entropy);
	if (psa_crypto_init() != PSA_SUCCESS) /* Mbed TLS 3 and later need it */
		return MBEDTLS_ERR_ERROR_GENERIC_ERROR;
	if ((err = mbedtls_ctr_drbg_seed(&rng, mbedtls_entropy_func, &entropy, NULL, 0)) != 0 ||
		(err = mbedtls_net_connect(&net, host, port, MBEDTLS_NET_PROTO_UDP)) != 0 ||
		(err = mbedtls_ssl_config_defaults(&conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
			 MBEDTLS_SSL_PRESET_DEFAULT)) != 0 ||
		(err = mbedtls_ssl_conf_psk(
			&conf, key, key_len, (const unsigned char *)identity, strlen(identity))) != 0)
		return err;
	mbedtls_ssl_conf_rng(&conf, mbedtls_ctr_drbg_random, &rng);
	if ((err = mbedtls_ssl_setup(&ssl, &conf)) != 0)
		return err;
	mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, mbedtls_net_recv_timeout);
	mbedtls_ssl_set_timer_cb(&ssl, &timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
	do
		err = mbedtls_ssl_handshake(&ssl);
	while (err == MBEDTLS_ERR_SSL_WANT_READ || err == MBEDTLS_ERR_SSL_WANT_WRITE);
	return err;
}

/* Sends lines and prints records until one side ends. */
static int talk(void)
{
	unsigned char b[2048];

	for (;;) {
		struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = net.fd, .events = POLLIN}};
		if (poll(fds, 2, -1) < 0)
			return 1;
		if (fds[0].revents != 0) {
			int n = read_line(b, sizeof b - 1);
			if (n < 0)
				return 0;
			b[n] = '\n';
			int err = mbedtls_ssl_write(&ssl, b, (size_t)n + 1);
			if (err < 0)
				return failed("write", err);
		}
		if (fds[1].revents == 0)
			continue;
		int n;
		while ((n = mbedtls_ssl_read(&ssl, b, sizeof b)) > 0)
			(void)!write(STDOUT_FILENO, b, (size_t)n);
		if (n != MBEDTLS_ERR_SSL_WANT_READ)
			return failed("read", n);
	}
}

int main(int argc, char **argv)
{
	unsigned char key[64];
	int n, err;

	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc != 4 || (n = read_line(key, sizeof key)) < 0)
		return 2;
	if ((err = connect_to(argv[1], argv[2], key, (size_t)n, argv[3])) != 0)
		return failed("handshake", err);
	mbedtls_net_set_nonblock(&net);
	mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, NULL);
	return talk();
}
