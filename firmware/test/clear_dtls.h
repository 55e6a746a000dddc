/*
 * DTLS without encryption: these functions replace those of dtls.c, so that a test can play the
 * gateway message by message. Include it once in a program; the linker then leaves dtls.c out.
 */
#ifndef LK_CLEAR_DTLS_H
#define LK_CLEAR_DTLS_H

#include "dtls.h"
#include "err.h"

/* What the next calls of lk_dtls_open, lk_dtls_resume and lk_dtls_due return. */
static int clear_open, clear_resume;
static uint32_t clear_due = UINT32_MAX;

int lk_dtls_open(struct lk_dtls *d, const struct lk_port *port, const char *identity, const char *secret)
{
	(void)identity, (void)secret;
	*d = (struct lk_dtls){.port = port, .configured = true};
	return clear_open;
}

/* The result of the next handshakes: 0, LK_EAGAIN or LK_ECLOSED. */
static int clear_handshake;

void lk_dtls_share(struct lk_dtls *d, struct lk_dtls *old)
{
	d->beside = old;
	old->beside = d;
}

int lk_dtls_handshake(struct lk_dtls *d)
{
	if (clear_handshake == 0)
		d->up = true;
	return clear_handshake;
}

uint32_t lk_dtls_due(const struct lk_dtls *d)
{
	(void)d;
	return clear_due;
}

int lk_dtls_send(struct lk_dtls *d, const uint8_t *b, size_t n)
{
	return d->up ? d->port->udp_send(d->port->own, b, n) : LK_ECLOSED;
}

/* The error that the next calls of lk_dtls_recv return; 0: they read the next datagram. */
static int clear_recv;

int lk_dtls_recv(struct lk_dtls *d, uint8_t *b, size_t cap)
{
	if (clear_recv < 0)
		return clear_recv;
	int n = d->port->udp_recv(d->port->own, b, cap);

	d->read_at = d->port->now(d->port->ctx);
	return n > 0 ? n : LK_EAGAIN;
}

int lk_dtls_save(struct lk_dtls *d, uint8_t *b, size_t cap)
{
	(void)b, (void)cap;
	d->up = false;
	return LK_ECLOSED;
}

int lk_dtls_resume(struct lk_dtls *d, const struct lk_port *port, const uint8_t *b, size_t n)
{
	(void)b, (void)n;
	*d = (struct lk_dtls){.port = port, .up = clear_resume == 0};
	return clear_resume;
}

void lk_dtls_forget(struct lk_dtls *d) { lk_dtls_close(d); }

void lk_dtls_close(struct lk_dtls *d)
{
	if (d->beside)
		d->beside->beside = NULL;
	d->beside = NULL;
	d->up = d->hinted = d->configured = false;
}

#endif
