#include "dtls_peer.h"

#include <string.h>

#include "mbedtls/ccm.h"
#include "mbedtls/md.h"

enum {
	RECORD_HEADER = 13,
	MESSAGE_HEADER = 12,
	EXPLICIT = 8, /* bytes of the nonce that a record carries */
	TAG = 8,
	CLIENT_HELLO = 1,
	SERVER_HELLO = 2,
	HELLO_VERIFY = 3,
	HELLO_DONE = 14,
	KEY_EXCHANGE = 16,
	FINISHED = 20,
};

static const uint8_t cookie[] = {'c', 'o', 'o', 'k', 'i', 'e'};

static void put_number(uint8_t *b, size_t bytes, uint64_t v)
{
	for (size_t i = bytes; i-- > 0; v >>= 8)
		b[i] = (uint8_t)v;
}

static uint64_t number(const uint8_t *b, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | b[i];
	return v;
}

/* ---- keys (RFC 5246 §5 and §6.3, RFC 4279 §2, RFC 7627 §4) ---- */

static void hmac(const uint8_t *key, size_t key_n, const uint8_t *a, size_t a_n, const uint8_t *b, size_t b_n,
	uint8_t out[32])
{
	uint8_t in[160];

	memcpy(in, a, a_n);
	if (b_n > 0)
		memcpy(in + a_n, b, b_n);
	(void)mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), key, key_n, in, a_n + b_n, out);
}

static void prf(const uint8_t *secret, size_t secret_n, const char *label, const uint8_t *seed, size_t seed_n,
	uint8_t *out, size_t n)
{
	uint8_t text[96], a[32], block[32];
	size_t text_n = strlen(label) + seed_n;

	memcpy(text, label, strlen(label));
	memcpy(text + strlen(label), seed, seed_n);
	hmac(secret, secret_n, text, text_n, NULL, 0, a);
	while (n > 0) {
		size_t part = n < sizeof block ? n : sizeof block;
		hmac(secret, secret_n, a, sizeof a, text, text_n, block);
		memcpy(out, block, part);
		out += part;
		n -= part;
		hmac(secret, secret_n, a, sizeof a, NULL, 0, a);
	}
}

/* The hash of the handshake messages so far. More messages can be added to p->hash afterwards. */
static void hash_so_far(const struct dtls_peer *p, uint8_t out[32])
{
	mbedtls_sha256_context c;

	mbedtls_sha256_init(&c);
	mbedtls_sha256_clone(&c, &p->hash);
	(void)mbedtls_sha256_finish(&c, out);
	mbedtls_sha256_free(&c);
}

static void make_keys(struct dtls_peer *p)
{
	uint8_t pre[2 + 64 + 2 + 64] = {0}, hash[32], randoms[64];
	size_t n = strlen(p->secret);

	put_number(pre, 2, n);
	put_number(pre + 2 + n, 2, n);
	memcpy(pre + 4 + n, p->secret, n);
	hash_so_far(p, hash);
	prf(pre, 4 + 2 * n, "extended master secret", hash, sizeof hash, p->master, sizeof p->master);
	memcpy(randoms, p->server_random, 32);
	memcpy(randoms + 32, p->client_random, 32);
	prf(p->master, sizeof p->master, "key expansion", randoms, sizeof randoms, p->keys, sizeof p->keys);
}

/* ---- records ---- */

static void put_header(uint8_t *b, uint8_t type, uint16_t epoch, uint64_t n, size_t len)
{
	b[0] = type;
	b[1] = 0xfe;
	b[2] = 0xfd;
	put_number(b + 3, 2, epoch);
	put_number(b + 5, 6, n);
	put_number(b + 11, 2, len);
}

static void set_key(const struct dtls_peer *p, bool ours, mbedtls_ccm_context *ccm, uint8_t nonce[12])
{
	mbedtls_ccm_init(ccm);
	(void)mbedtls_ccm_setkey(ccm, MBEDTLS_CIPHER_ID_AES, p->keys + (ours ? 16 : 0), 128);
	memcpy(nonce, p->keys + (ours ? 36 : 32), 4);
}

size_t peer_write_clear(struct dtls_peer *p, uint8_t type, const uint8_t *content, size_t n, uint8_t *b)
{
	put_header(b, type, 0, p->clear_n++, n);
	memcpy(b + RECORD_HEADER, content, n);
	return RECORD_HEADER + n;
}

size_t peer_write_sealed(struct dtls_peer *p, uint8_t type, const uint8_t *content, size_t n, uint8_t *b)
{
	mbedtls_ccm_context ccm;
	uint8_t nonce[12], aad[13];

	put_header(b, type, 1, p->n++, EXPLICIT + n + TAG);
	memcpy(b + RECORD_HEADER, b + 3, EXPLICIT);
	set_key(p, true, &ccm, nonce);
	memcpy(nonce + 4, b + RECORD_HEADER, EXPLICIT);
	memcpy(aad, b + 3, 8);
	memcpy(aad + 8, b, 3);
	put_number(aad + 11, 2, n);
	uint8_t *sealed = b + RECORD_HEADER + EXPLICIT;
	(void)mbedtls_ccm_encrypt_and_tag(
		&ccm, n, nonce, sizeof nonce, aad, sizeof aad, content, sealed, sealed + n, TAG);
	mbedtls_ccm_free(&ccm);
	return RECORD_HEADER + EXPLICIT + n + TAG;
}

void peer_send(struct dtls_peer *p, uint8_t type, const uint8_t *content, size_t n)
{
	uint8_t b[PEER_RECORD_MAX];

	fake_deliver(p->board, b, peer_write_sealed(p, type, content, n, b));
}

/* Decrypts a record that carries our Connection ID (RFC 9146 §5), and stores its content and type
 * in p. */
static bool open_record(struct dtls_peer *p, const uint8_t *b, size_t n)
{
	mbedtls_ccm_context ccm;
	uint8_t nonce[12], aad[8 + 3 + 2 + 8 + PEER_CID_LEN + 2];
	const uint8_t *sealed = b + RECORD_HEADER + PEER_CID_LEN + EXPLICIT;

	if (n < RECORD_HEADER + PEER_CID_LEN + EXPLICIT + TAG || n > sizeof p->got ||
		memcmp(b + 11, p->server_random, PEER_CID_LEN) != 0)
		return false;
	size_t content = n - (size_t)(sealed - b) - TAG;
	set_key(p, false, &ccm, nonce);
	memcpy(nonce + 4, sealed - EXPLICIT, EXPLICIT);
	memset(aad, 0xff, 8);
	memcpy(aad + 8, (uint8_t[]){PEER_CID, PEER_CID_LEN, PEER_CID, 0xfe, 0xfd}, 5);
	memcpy(aad + 13, b + 3, 8);
	memcpy(aad + 21, b + 11, PEER_CID_LEN);
	put_number(aad + 29, 2, content);
	int err = mbedtls_ccm_auth_decrypt(
		&ccm, content, nonce, sizeof nonce, aad, sizeof aad, sealed, p->got, sealed + content, TAG);
	mbedtls_ccm_free(&ccm);
	if (err != 0)
		return false;
	while (content > 0 && p->got[content - 1] == 0)
		content--; /* skip the padding: content, type, zeros */
	if (content == 0)
		return false;
	p->got_type = p->got[content - 1];
	p->got_n = content - 1;
	p->got_number = number(b + 5, 6);
	p->records++;
	return true;
}

/* ---- the handshake ---- */

/* Writes a handshake message with its header to b. Adds it to the hash unless it is a
 * HelloVerifyRequest. */
static size_t message(struct dtls_peer *p, uint8_t type, const uint8_t *body, size_t n, uint8_t *b)
{
	b[0] = type;
	put_number(b + 1, 3, n);
	put_number(b + 4, 2, p->message++);
	put_number(b + 6, 3, 0);
	put_number(b + 9, 3, n);
	if (n > 0)
		memcpy(b + MESSAGE_HEADER, body, n);
	if (type != HELLO_VERIFY)
		(void)mbedtls_sha256_update(&p->hash, b, MESSAGE_HEADER + n);
	return MESSAGE_HEADER + n;
}

static void start_over(struct dtls_peer *p)
{
	mbedtls_sha256_free(&p->hash);
	mbedtls_sha256_init(&p->hash);
	(void)mbedtls_sha256_starts(&p->hash, 0);
	p->message = 0;
	p->n = 0;
	p->up = false;
}

static void add_alert(struct dtls_peer *p)
{
	uint8_t b[PEER_RECORD_MAX];

	if (p->clear_alerts)
		fake_deliver(p->board, b, peer_write_clear(p, PEER_ALERT, (const uint8_t[]){2, 40}, 2, b));
}

/* Answers a ClientHello without our cookie with a HelloVerifyRequest, and one with it with our
 * ServerHello. */
static void take_hello(struct dtls_peer *p, const uint8_t *m, size_t n)
{
	static const uint8_t verify[] = {0xfe, 0xfd, sizeof cookie, 'c', 'o', 'o', 'k', 'i', 'e'};
	uint8_t b[PEER_RECORD_MAX], c[PEER_RECORD_MAX], hello[128] = {0xfe, 0xfd};
	size_t at = MESSAGE_HEADER + 2 + 32;

	p->hellos++;
	if (n < at + 2 || m[at] != 0)
		return; /* a node never asks to resume a session */
	start_over(p);
	add_alert(p);
	if (m[at + 1] != sizeof cookie || memcmp(m + at + 2, cookie, sizeof cookie) != 0) {
		fake_deliver(p->board, c,
			peer_write_clear(p, PEER_HANDSHAKE, b, message(p, HELLO_VERIFY, verify, sizeof verify, b), c));
		return;
	}
	p->message = 1; /* the HelloVerifyRequest was 0 */
	p->flights++;
	(void)mbedtls_sha256_update(&p->hash, m, n);
	memcpy(p->client_random, m + MESSAGE_HEADER + 2, 32);
	memset(p->server_random, (int)(0x40 + p->flights % 64), 32);
	memcpy(hello + 2, p->server_random, 32);
	static const uint8_t rest[] = {0, 0xc0, 0xa8, 0, 0, 5 + 4 + 5 + PEER_CID_LEN, 0xff, 0x01, 0, 1, 0, 0,
		0x17, 0, 0, 0, 0x36, 0, 1 + PEER_CID_LEN, PEER_CID_LEN};
	memcpy(hello + 34, rest, sizeof rest);
	memcpy(hello + 34 + sizeof rest, p->server_random, PEER_CID_LEN); /* our Connection ID */
	fake_deliver(p->board, c,
		peer_write_clear(
			p, PEER_HANDSHAKE, b, message(p, SERVER_HELLO, hello, 34 + sizeof rest + PEER_CID_LEN, b), c));
	fake_deliver(p->board, c, peer_write_clear(p, PEER_HANDSHAKE, b, message(p, HELLO_DONE, NULL, 0, b), c));
}

static void take_key_exchange(struct dtls_peer *p, const uint8_t *m, size_t n)
{
	size_t len = n < MESSAGE_HEADER + 2 ? 0 : (size_t)number(m + MESSAGE_HEADER, 2);

	if (len != n - MESSAGE_HEADER - 2 || len >= sizeof p->identity)
		return;
	memcpy(p->identity, m + MESSAGE_HEADER + 2, len);
	p->identity[len] = 0;
	(void)mbedtls_sha256_update(&p->hash, m, n);
	make_keys(p);
}

/* Verifies the node's Finished, which is in p->got, and answers it. */
static void take_finished(struct dtls_peer *p)
{
	uint8_t hash[32], want[12], b[PEER_RECORD_MAX], c[PEER_RECORD_MAX];

	hash_so_far(p, hash);
	prf(p->master, sizeof p->master, "client finished", hash, sizeof hash, want, sizeof want);
	if (p->got_n != MESSAGE_HEADER + sizeof want || p->got[0] != FINISHED ||
		memcmp(p->got + MESSAGE_HEADER, want, sizeof want) != 0)
		return;
	(void)mbedtls_sha256_update(&p->hash, p->got, p->got_n);
	hash_so_far(p, hash);
	prf(p->master, sizeof p->master, "server finished", hash, sizeof hash, want, sizeof want);
	want[0] ^= p->spoil_finished;
	add_alert(p);
	fake_deliver(p->board, c, peer_write_clear(p, PEER_CCS, (const uint8_t[]){1}, 1, c));
	size_t n = message(p, FINISHED, want, sizeof want, b);
	peer_send(p, PEER_HANDSHAKE, b, n);
	p->up = true;
}

static void take_record(struct dtls_peer *p, const uint8_t *b, size_t n)
{
	if (b[0] == PEER_CID && b[4] == 1) {
		if (open_record(p, b, n) && p->got_type == PEER_HANDSHAKE && !p->up)
			take_finished(p);
	} else if (b[0] == PEER_HANDSHAKE && b[4] == 0 && n >= RECORD_HEADER + MESSAGE_HEADER) {
		if (b[RECORD_HEADER] == CLIENT_HELLO)
			take_hello(p, b + RECORD_HEADER, n - RECORD_HEADER);
		else if (b[RECORD_HEADER] == KEY_EXCHANGE)
			take_key_exchange(p, b + RECORD_HEADER, n - RECORD_HEADER);
	}
}

void peer_process(struct dtls_peer *p)
{
	uint8_t b[FAKE_DATAGRAM];
	size_t n;

	while ((n = fake_take_sent(p->board, b, sizeof b)) > 0)
		for (size_t at = 0, len; at + RECORD_HEADER + PEER_CID_LEN <= n || at + RECORD_HEADER < n;
			at += len) {
			size_t cid = b[at] == PEER_CID ? PEER_CID_LEN : 0;
			len = RECORD_HEADER + cid + (size_t)number(b + at + 11 + cid, 2);
			if (len > n - at)
				break;
			take_record(p, b + at, len);
		}
}

void peer_init(struct dtls_peer *p, struct fake_port *board, const char *secret)
{
	memset(p, 0, sizeof *p);
	p->board = board;
	p->secret = secret;
	mbedtls_sha256_init(&p->hash);
}

void peer_free(struct dtls_peer *p) { mbedtls_sha256_free(&p->hash); }
