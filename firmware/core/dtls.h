/*
 * The DTLS 1.2 association with the gateway: PSK_WITH_AES_128_CCM_8, extended master secret and
 * Connection ID (RFC 9146), by Mbed TLS. Nothing here waits: each call does what can be done now.
 *
 * Datagrams are looked at before Mbed TLS sees them. Records in the clear are taken in the
 * handshake only, and then only handshake messages and a ChangeCipherSpec: otherwise one forged
 * plaintext alert would end it. Of a HelloRequest in the clear, which anybody can forge, it is only
 * noted that it came.
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
	uint8_t looks;   /* at the socket, that this call may still take */
	uint32_t read_at; /* when the newest datagram was read */
	uint32_t timer_began, timer_middle, timer_end; /* Mbed TLS's timer; end 0: none */
	struct lk_dtls *beside; /* shares the socket: one of the two is in its handshake. NULL: none */
	uint32_t held_at;       /* when held was read */
	uint16_t held_n;        /* bytes of held, 0: none */
	uint8_t held[LK_HELD_DATAGRAM]; /* what the one beside has read and is ours */
	mbedtls_ssl_config conf;
	mbedtls_ssl_context ssl;
};

/* Prepares a handshake with that identity and secret, over the socket that port has open.
 * LK_ENOMEM. Ends the association before. */
int lk_dtls_open(struct lk_dtls *d, const struct lk_port *port, const char *identity, const char *secret);

/* Has d, which was opened just now, make its handshake over the socket of old, which goes on
 * meanwhile. */
void lk_dtls_share(struct lk_dtls *d, struct lk_dtls *old);

/* Goes on with the handshake: 0 when it is done, LK_EAGAIN while it waits for the gateway,
 * LK_ENOMEM, or LK_ECLOSED when it has failed. */
int lk_dtls_handshake(struct lk_dtls *d);

/* ms until lk_dtls_handshake has something to do, whatever comes. */
uint32_t lk_dtls_due(const struct lk_dtls *d);

/* Sends one message as one record. LK_ECLOSED when the association is over. */
int lk_dtls_send(struct lk_dtls *d, const uint8_t *b, size_t n);

/* The next message: its length, LK_EAGAIN when there is none, LK_ECLOSED when the gateway said
 * goodbye, LK_ESPACE for one that is longer than cap, which is gone. d->read_at says when its
 * datagram was read. */
int lk_dtls_recv(struct lk_dtls *d, uint8_t *b, size_t cap);

/* Takes the association out of d, to be resumed by lk_dtls_resume: its length. Nothing may be sent
 * on it any more: a state that is used twice repeats nonces. */
int lk_dtls_save(struct lk_dtls *d, uint8_t *b, size_t cap);

/* Goes on with a saved association instead of a handshake, over the socket that port has open. The
 * caller has erased every other copy of it before. */
int lk_dtls_resume(struct lk_dtls *d, const struct lk_port *port, const uint8_t *b, size_t n);

/* Ends an association that the gateway does not have any more, without a goodbye. */
void lk_dtls_forget(struct lk_dtls *d);

/* Ends the association, with a goodbye if there is one to say it to, and frees what it holds. Twice
 * is harmless. */
void lk_dtls_close(struct lk_dtls *d);

#endif
