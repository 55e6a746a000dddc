/*
 * The other end of an association: a DTLS 1.2 server with one key and one suite,
 * PSK_WITH_AES_128_CCM_8, written for the tests from RFC 6347, 4279, 7627 and 9146. It uses only
 * AES-CCM and SHA-256 from Mbed TLS, so that both ends do not share one misunderstanding of the
 * protocol. It reads and writes datagrams through a fake_port and does only what the tests need: no
 * timers, no fragments, whole datagrams only.
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
	bool spoil_finished; /* send a wrong Finished, as a server with another key would */
	/* send an unencrypted fatal alert before each flight, as an attacker on the path could */
	bool clear_alerts;

	bool up;             /* the node's Finished was correct, and ours is sent */
	unsigned hellos, flights;
	char identity[32];   /* the PSK identity that the node sent */
	mbedtls_sha256_context hash;
	uint8_t client_random[32], server_random[32], master[48];
	uint8_t keys[40];    /* the node's key, ours, the node's IV, ours */
	uint64_t clear_n, n; /* sequence numbers of the next record of epoch 0 and 1 */
	uint16_t message;    /* number of the next handshake message */

	uint8_t got_type;    /* type and content of the newest record of epoch 1 that could be decrypted */
	uint8_t got[PEER_RECORD_MAX];
	size_t got_n;
	uint64_t got_number; /* its sequence number */
	unsigned records;    /* how many records of epoch 1 could be decrypted */
};

void peer_init(struct dtls_peer *p, struct fake_port *board, const char *secret);
void peer_free(struct dtls_peer *p);

/* Reads all datagrams that the node has sent, and answers handshake messages. */
void peer_process(struct dtls_peer *p);

/* Each writes one record to b, which must have room for it, and returns its length. The first
 * writes an unencrypted record of epoch 0, the second an encrypted one of epoch 1. */
size_t peer_write_clear(struct dtls_peer *p, uint8_t type, const uint8_t *content, size_t n, uint8_t *b);
size_t peer_write_sealed(struct dtls_peer *p, uint8_t type, const uint8_t *content, size_t n, uint8_t *b);

/* Sends one encrypted record. */
void peer_send(struct dtls_peer *p, uint8_t type, const uint8_t *content, size_t n);

#endif
