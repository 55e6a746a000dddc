/* Seals with AES-CCM of OpenSSL and of Mbed TLS. Reads lines of "tag-size key nonce data message", all
 * but the first in hexadecimal and "-" for nothing, and answers each with the two results. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/ccm.h>

/* Debian installs OpenSSL's library with the program, but not its headers. */
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
typedef struct evp_cipher_st EVP_CIPHER;
EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void);
void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *);
const EVP_CIPHER *EVP_aes_128_ccm(void);
int EVP_EncryptInit_ex(EVP_CIPHER_CTX *, const EVP_CIPHER *, void *, const unsigned char *, const unsigned char *);
int EVP_EncryptUpdate(EVP_CIPHER_CTX *, unsigned char *, int *, const unsigned char *, int);
int EVP_EncryptFinal_ex(EVP_CIPHER_CTX *, unsigned char *, int *);
int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *, int, int, void *);
enum { SET_IVLEN = 0x9, GET_TAG = 0x10, SET_TAG = 0x11 };

enum { MAX = 4096 };
static unsigned char key[MAX], nonce[MAX], data[MAX], message[MAX], out[MAX + 16];

static int parse(unsigned char *to) {
	static char text[2 * MAX + 1];
	if (scanf("%8192s", text) != 1) exit(0);
	if (strcmp(text, "-") == 0) return 0;
	int n = (int)strlen(text) / 2;
	for (int i = 0; i < n; i++) {
		unsigned v;
		if (sscanf(text + 2 * i, "%2x", &v) != 1) exit(2);
		to[i] = (unsigned char)v;
	}
	return n;
}

static void print(int n, char end) {
	for (int i = 0; i < n; i++) printf("%02x", out[i]);
	putchar(end);
	memset(out, 0, sizeof out);
}

static void check(int ok, const char *what) {
	if (ok) return;
	fprintf(stderr, "%s failed\n", what);
	exit(3);
}

int main(void) {
	int tag;
	while (scanf("%d", &tag) == 1) {
		int keys = parse(key), nonces = parse(nonce), datas = parse(data), n = parse(message), len;
		check(keys == 16, "key of 16 bytes");

		EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
		check(EVP_EncryptInit_ex(c, EVP_aes_128_ccm(), NULL, NULL, NULL), "cipher");
		check(EVP_CIPHER_CTX_ctrl(c, SET_IVLEN, nonces, NULL), "nonce size");
		check(EVP_CIPHER_CTX_ctrl(c, SET_TAG, tag, NULL), "tag size");
		check(EVP_EncryptInit_ex(c, NULL, NULL, key, nonce), "key");
		check(EVP_EncryptUpdate(c, NULL, &len, NULL, n), "message size");
		if (datas > 0) check(EVP_EncryptUpdate(c, NULL, &len, data, datas), "data");
		check(EVP_EncryptUpdate(c, out, &len, message, n), "message");
		check(EVP_EncryptFinal_ex(c, out + n, &len), "end");
		check(EVP_CIPHER_CTX_ctrl(c, GET_TAG, tag, out + n), "tag");
		EVP_CIPHER_CTX_free(c);
		print(n + tag, ' ');

		mbedtls_ccm_context m;
		mbedtls_ccm_init(&m);
		check(mbedtls_ccm_setkey(&m, MBEDTLS_CIPHER_ID_AES, key, 128) == 0, "Mbed TLS: key");
		check(mbedtls_ccm_encrypt_and_tag(&m, (size_t)n, nonce, (size_t)nonces, data, (size_t)datas, message, out,
			out + n, (size_t)tag) == 0, "Mbed TLS: message");
		mbedtls_ccm_free(&m);
		print(n + tag, '\n');
		fflush(stdout);
	}
	return 0;
}
