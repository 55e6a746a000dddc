#include "dtls.h"

#include <string.h>

#include "err.h"

enum {
	FIRST_FLIGHT_WAIT = 1000, /* RFC 6347 §4.2.4.1 */
	LAST_FLIGHT_WAIT = 8000,  /* so a handshake without answers ends after 15 s */
	MOST_LOOKS = 16, /* datagrams read in one call: a flood must not starve the watchdog */
	RECORD_HEADER = 13,
	RECORD_CCS = 20,
	RECORD_HANDSHAKE = 22,
};

static const int suites[] = {MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, 0};

static int rng(void *ctx, unsigned char *b, size_t n)
{
	const struct lk_port *p = ((struct lk_dtls *)ctx)->port;

	return p->random(p->ctx, b, n);
}

static void timer_set(void *ctx, uint32_t middle, uint32_t end)
{
	struct lk_dtls *d = ctx;

	d->timer_began = d->port->now(d->port->ctx);
	d->timer_middle = middle;
	d->timer_end = end;
}

static int timer_get(void *ctx)
{
	const struct lk_dtls *d = ctx;

	if (d->timer_end == 0)
		return -1;
	uint32_t gone = d->port->now(d->port->ctx) - d->timer_began;
	return gone >= d->timer_end ? 2 : gone >= d->timer_middle ? 1 : 0;
}

static int send_datagram(void *ctx, const unsigned char *b, size_t n)
{
	const struct lk_port *p = ((struct lk_dtls *)ctx)->port;

	/* a datagram that cannot be sent is lost, like one that is lost on its way */
	(void)p->udp_send(p->own, b, n);
	return (int)n;
}

/* Tells whether every record of a datagram may be shown to Mbed TLS. */
static bool acceptable(const uint8_t *b, size_t n, bool up)
{
	while (n >= RECORD_HEADER) {
		bool clear = b[3] == 0 && b[4] == 0;
		size_t len = (size_t)b[11] << 8 | b[12];
		if (len > n - RECORD_HEADER)
			return false;
		if (clear &&
			(up || (b[0] != RECORD_HANDSHAKE && (b[0] != RECORD_CCS || len != 1 || b[RECORD_HEADER] != 1))))
			return false;
		b += RECORD_HEADER + len;
		n -= RECORD_HEADER + len;
	}
	return n == 0;
}

/* A HelloRequest in the clear (RFC 5246 §7.4.1.1, RFC 6347 §4.2.2), alone in its datagram. */
static bool is_hint(const uint8_t *b, size_t n)
{
	/* from the record's length on */
	static const uint8_t rest[] = {0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

	return n == 11 + sizeof rest && b[0] == RECORD_HANDSHAKE && b[1] == 0xfe && b[3] == 0 && b[4] == 0 &&
	       memcmp(b + 11, rest, sizeof rest) == 0;
}

/* Returns the association that a datagram is for: handshake records are for the one in its
 * handshake, all else is for the one that is up. */
static struct lk_dtls *owner(struct lk_dtls *d, const uint8_t *b, size_t n)
{
	bool handshake = n >= RECORD_HEADER && ((b[3] == 0 && b[4] == 0) || b[0] == RECORD_HANDSHAKE);

	return d->beside != NULL && handshake == d->up ? d->beside : d;
}

/* Returns the datagram that the association beside has read for this one. */
static int take_held(struct lk_dtls *d, unsigned char *b, size_t cap)
{
	size_t n = d->held_n < cap ? d->held_n : cap;

	memcpy(b, d->held, n);
	d->held_n = 0;
	d->read_at = d->held_at;
	return (int)n;
}

static int recv_datagram(void *ctx, unsigned char *b, size_t cap)
{
	struct lk_dtls *d = ctx;
	const struct lk_port *p = d->port;

	if (d->held_n > 0)
		return take_held(d, b, cap);
	while (d->looks > 0) {
		d->looks--;
		int n = p->udp_recv(p->own, b, cap);
		if (n <= 0)
			break; /* a failing socket counts as a silent gateway: timers end it */
		struct lk_dtls *to = owner(d, b, (size_t)n);
		if (is_hint(b, (size_t)n)) {
			if (d->up || d->beside != NULL)
				(d->up ? d : d->beside)->hinted = true;
		} else if (acceptable(b, (size_t)n, to->up) && to == d) {
			d->read_at = p->now(p->ctx);
			return n;
		} else if (to != d && acceptable(b, (size_t)n, to->up) && (size_t)n <= sizeof to->held) {
			memcpy(to->held, b, (size_t)n);
			to->held_n = (uint16_t)n;
			to->held_at = p->now(p->ctx);
			break; /* its turn */
		}
	}
	return MBEDTLS_ERR_SSL_WANT_READ;
}

static int failed(int err)
{
	switch (err) {
	case MBEDTLS_ERR_SSL_WANT_READ:
	case MBEDTLS_ERR_SSL_WANT_WRITE:
		return LK_EAGAIN;
	case MBEDTLS_ERR_SSL_ALLOC_FAILED:
	case MBEDTLS_ERR_MD_ALLOC_FAILED:
	case MBEDTLS_ERR_CIPHER_ALLOC_FAILED:
		return LK_ENOMEM;
	default:
		return LK_ECLOSED;
	}
}

/* Everything that a new and a resumed association share. */
static int prepare(struct lk_dtls *d, const struct lk_port *port)
{
	lk_dtls_close(d);
	*d = (struct lk_dtls){.port = port, .configured = true};
	mbedtls_ssl_init(&d->ssl);
	mbedtls_ssl_config_init(&d->conf);
	int err = mbedtls_ssl_config_defaults(
		&d->conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT);
	if (err != 0)
		return failed(err);
	mbedtls_ssl_conf_rng(&d->conf, rng, d);
	mbedtls_ssl_conf_ciphersuites(&d->conf, suites);
	mbedtls_ssl_conf_handshake_timeout(&d->conf, FIRST_FLIGHT_WAIT, LAST_FLIGHT_WAIT);
	return 0;
}

static int attach(struct lk_dtls *d)
{
	int err = mbedtls_ssl_setup(&d->ssl, &d->conf);

	if (err != 0)
		return failed(err);
	mbedtls_ssl_set_mtu(&d->ssl, LK_DATAGRAM_MAX);
	mbedtls_ssl_set_bio(&d->ssl, d, send_datagram, recv_datagram, NULL);
	mbedtls_ssl_set_timer_cb(&d->ssl, d, timer_set, timer_get);
	return 0;
}

int lk_dtls_open(struct lk_dtls *d, const struct lk_port *port, const char *identity, const char *secret)
{
	static const uint8_t no_cid[1] = {0};
	int err = prepare(d, port);

	if (err != 0)
		return err;
	err = mbedtls_ssl_conf_psk(
		&d->conf, (const uint8_t *)secret, strlen(secret), (const uint8_t *)identity, strlen(identity));
	if (err == 0 && (err = attach(d)) != 0)
		return err;
	if (err == 0) /* the gateway chooses its own CID; records to us need none, our socket is ours alone */
		err = mbedtls_ssl_set_cid(&d->ssl, MBEDTLS_SSL_CID_ENABLED, no_cid, 0);
	return err == 0 ? 0 : failed(err);
}

void lk_dtls_share(struct lk_dtls *d, struct lk_dtls *old)
{
	d->beside = old;
	old->beside = d;
	old->held_n = 0;
}

int lk_dtls_handshake(struct lk_dtls *d)
{
	d->looks = MOST_LOOKS;
	int err = mbedtls_ssl_handshake(&d->ssl);

	if (err != 0)
		return failed(err);
	d->up = true;
	return 0;
}

uint32_t lk_dtls_due(const struct lk_dtls *d)
{
	if (d->timer_end == 0)
		return UINT32_MAX;
	uint32_t gone = d->port->now(d->port->ctx) - d->timer_began;
	return gone >= d->timer_end ? 0 : d->timer_end - gone;
}

int lk_dtls_send(struct lk_dtls *d, const uint8_t *b, size_t n)
{
	int err = mbedtls_ssl_write(&d->ssl, b, n);

	return err == (int)n ? 0 : LK_ECLOSED;
}

int lk_dtls_recv(struct lk_dtls *d, uint8_t *b, size_t cap)
{
	d->looks = MOST_LOOKS;
	int n = mbedtls_ssl_read(&d->ssl, b, cap);

	if (n == 0)
		return LK_EAGAIN; /* a record without content */
	if (n < 0)
		return failed(n) == LK_EAGAIN ? LK_EAGAIN : LK_ECLOSED;
	if (mbedtls_ssl_get_bytes_avail(&d->ssl) == 0)
		return n;
	while (mbedtls_ssl_get_bytes_avail(&d->ssl) > 0 && mbedtls_ssl_read(&d->ssl, b, cap) > 0)
		;
	return LK_ESPACE;
}

int lk_dtls_save(struct lk_dtls *d, uint8_t *b, size_t cap)
{
	size_t n = 0;
	int err = d->up ? mbedtls_ssl_context_save(&d->ssl, b, cap, &n) : MBEDTLS_ERR_SSL_BAD_INPUT_DATA;

	d->up = false; /* no close_notify: the association goes on after the sleep */
	lk_dtls_close(d);
	return err == 0 ? (int)n : LK_ECLOSED;
}

int lk_dtls_resume(struct lk_dtls *d, const struct lk_port *port, const uint8_t *b, size_t n)
{
	int err = prepare(d, port);

	if (err == 0)
		err = attach(d);
	if (err != 0)
		return err;
	err = mbedtls_ssl_context_load(&d->ssl, b, n);
	if (err != 0)
		return failed(err);
	/* The context carries the MTU's and timers' settings of its own; the callbacks are this
	 * run's. */
	d->up = true;
	return 0;
}

void lk_dtls_forget(struct lk_dtls *d)
{
	d->up = false;
	lk_dtls_close(d);
}

void lk_dtls_close(struct lk_dtls *d)
{
	if (d->beside != NULL)
		d->beside->beside = NULL;
	d->beside = NULL;
	d->hinted = false;
	d->held_n = 0;
	if (!d->configured)
		return;
	if (d->up)
		(void)mbedtls_ssl_close_notify(&d->ssl);
	mbedtls_ssl_free(&d->ssl);
	mbedtls_ssl_config_free(&d->conf);
	d->configured = false;
	d->up = false;
	d->timer_end = 0;
}
