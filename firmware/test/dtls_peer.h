/*
 * The other end of an association: a DTLS 1.2 server with one key and one suite,
 * PSK_WITH_AES_128_CCM_8, written for the tests from RFC 6347, 4279, 7627 and 9146. Of Mbed TLS it
 * uses AES-CCM and SHA-256 and nothing else, so it does not share the beliefs of what it tests. It
 * speaks through a fake_port, and it is no server for anything else: no timers, no fragments, whole
 * datagrams only.
 */
#ifndef LK_DTLS_PEER_H
#define LK_DTLS_PEER_H

#include "fake_port.h"
#include "mbedtls/sha256.h"

enum {
	PEER_CCS = 20,
	PEER_ALERT = 21,
	PEER_HANDSHAKE = 22,
	PEER_DATA = 23,
	PEER_CID = 25,
	PEER_CID_LEN = 8,
	PEER_RECORD_MAX = 600,
};

struct dtls_peer {
	struct fake_port *board;
	const char *secret;
	bool spoil_finished; /* its own Finished is wrong: it has another key, or is somebody else */
	/* it adds a fatal alert in the clear before each flight, as anybody on the way could */
	bool clear_alerts;

	bool up;             /* the node's Finished was right, and ours is sent */
	unsigned hellos, flights;
	char identity[32];   /* what the node said */
	mbedtls_sha256_context hash;
	uint8_t client_random[32], server_random[32], master[48];
	uint8_t keys[40];    /* the node's key, ours, the node's IV, ours */
	uint64_t clear_n, n; /* numbers of the next record of epoch 0 and 1 */
	uint16_t message;    /* number of the next handshake message */

	uint8_t got_type;    /* of the newest record of epoch 1 that was whole, and its content */
	uint8_t got[PEER_RECORD_MAX];
	size_t got_n;
	uint64_t got_number; /* the number that it carried */
	unsigned records;    /* whole ones of epoch 1 */
};

void peer_init(struct dtls_peer *p, struct fake_port *board, const char *secret);
void peer_free(struct dtls_peer *p);

/* Takes all that the node has sent, and answers what belongs to a handshake. */
void peer_take(struct dtls_peer *p);

/* Writes one record to b, which has room for it, and returns its length: of epoch 0 in the clear,
 * of epoch 1 sealed. */
size_t peer_clear(struct dtls_peer *p, uint8_t type, const uint8_t *content, size_t n, uint8_t *b);
size_t peer_seal(struct dtls_peer *p, uint8_t type, const uint8_t *content, size_t n, uint8_t *b);

/* Sends one sealed record. */
void peer_send(struct dtls_peer *p, uint8_t type, const uint8_t *content, size_t n);

#endif
