/*
 * The DTLS 1.2 association with the gateway: PSK_WITH_AES_128_CCM_8, extended master secret and
 * Connection ID (RFC 9146), by Mbed TLS. Nothing here waits: each call does what can be done now.
 *
 * Datagrams are filtered before Mbed TLS sees them. Plaintext records are accepted only during the
 * handshake, and then only handshake messages and a ChangeCipherSpec: otherwise one forged
 * plaintext alert would end the association. A plaintext HelloRequest, which anybody can forge,
 * only sets hinted.
 */
#ifndef LK_DTLS_H
#define LK_DTLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mbedtls/ssl.h"
#include "port.h"

enum {
	LK_DTLS_STATE_MAX = 400, /* bytes of a saved association */
	LK_DATAGRAM_MAX = 512,   /* bytes of the largest datagram that is sent */
	LK_HELD_DATAGRAM = 256,  /* bytes of one that the association beside has read; the gateway sends less */
};

struct lk_dtls {
	const struct lk_port *port;
	bool configured; /* conf and ssl hold memory */
	bool up;         /* the handshake is done */
	bool hinted;     /* a HelloRequest came since the handshake, to be taken by the caller */
	uint8_t looks;   /* datagrams that this call may still read */
	uint32_t read_at; /* when the newest datagram was read */
	uint32_t timer_began, timer_middle, timer_end; /* Mbed TLS's timer; end 0: none */
	struct lk_dtls *beside; /* shares the socket: one of the two is in its handshake. NULL: none */
	uint32_t held_at;       /* when held was read */
	uint16_t held_n;        /* bytes of held, 0: none */
	uint8_t held[LK_HELD_DATAGRAM]; /* a datagram for us that the one beside has read */
	mbedtls_ssl_config conf;
	mbedtls_ssl_context ssl;
};

/* Prepares a handshake with that identity and secret, over the socket that port has open. It
 * first ends an earlier association. Returns 0 or LK_ENOMEM. */
int lk_dtls_open(struct lk_dtls *d, const struct lk_port *port, const char *identity, const char *secret);

/* Lets d, which was just opened, make its handshake over the socket of old, which stays in use
 * meanwhile. */
void lk_dtls_share(struct lk_dtls *d, struct lk_dtls *old);

/* Goes on with the handshake: 0 when it is done, LK_EAGAIN while it waits for the gateway,
 * LK_ENOMEM, or LK_ECLOSED when it has failed. */
int lk_dtls_handshake(struct lk_dtls *d);

/* Returns the ms until lk_dtls_handshake must be called even if nothing is received. */
uint32_t lk_dtls_due(const struct lk_dtls *d);

/* Sends one message as one record. LK_ECLOSED when the association is over. */
int lk_dtls_send(struct lk_dtls *d, const uint8_t *b, size_t n);

/* Reads the next message and returns its length. LK_EAGAIN: there is none. LK_ECLOSED: the
 * gateway has closed. LK_ESPACE: it was longer than cap and is dropped. d->read_at says when its
 * datagram was read. */
int lk_dtls_recv(struct lk_dtls *d, uint8_t *b, size_t cap);

/* Moves the association from d to b, for lk_dtls_resume, and returns its length. Nothing more
 * may be sent on d: a state that is used twice repeats nonces. */
int lk_dtls_save(struct lk_dtls *d, uint8_t *b, size_t cap);

/* Goes on with a saved association instead of a handshake, over the socket that port has open. The
 * caller has erased every other copy of it before. */
int lk_dtls_resume(struct lk_dtls *d, const struct lk_port *port, const uint8_t *b, size_t n);

/* Ends an association that the gateway does not have any more, without a close_notify. */
void lk_dtls_forget(struct lk_dtls *d);

/* Ends the association, with a close_notify if it is up, and frees its memory. Twice is
 * harmless. */
void lk_dtls_close(struct lk_dtls *d);

#endif
