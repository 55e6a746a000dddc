/*
 * Mbed TLS as a node needs it, on the host, in QEMU and on the chips: a DTLS 1.2 client with one
 * suite, TLS_PSK_WITH_AES_128_CCM_8, Connection ID, and a state that outlives deep sleep. Nothing
 * else, since flash and heap are small.
 */
#ifndef LK_MBEDTLS_CONFIG_H
#define LK_MBEDTLS_CONFIG_H

#include <stddef.h>

void *lk_port_calloc(size_t n, size_t size);
void lk_port_free(void *p);

#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_PLATFORM_NO_STD_FUNCTIONS
#define MBEDTLS_PLATFORM_CALLOC_MACRO lk_port_calloc
#define MBEDTLS_PLATFORM_FREE_MACRO lk_port_free

/* CCM only ever encrypts a block, so the half of AES that decrypts, and its table, can go. */
#define MBEDTLS_AES_C
#define MBEDTLS_AES_ROM_TABLES
#define MBEDTLS_AES_ONLY_128_BIT_KEY_LENGTH
#define MBEDTLS_BLOCK_CIPHER_NO_DECRYPT
#define MBEDTLS_CCM_C
#define MBEDTLS_CIPHER_C
#define MBEDTLS_MD_C
#define MBEDTLS_SHA256_C

#define MBEDTLS_KEY_EXCHANGE_PSK_ENABLED
#define MBEDTLS_SSL_CIPHERSUITES MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8
#define MBEDTLS_PSK_MAX_LEN 32
#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_CLI_C
#define MBEDTLS_SSL_PROTO_TLS1_2
#define MBEDTLS_SSL_PROTO_DTLS
#define MBEDTLS_SSL_DTLS_ANTI_REPLAY
#define MBEDTLS_SSL_EXTENDED_MASTER_SECRET
#define MBEDTLS_SSL_DTLS_CONNECTION_ID
#define MBEDTLS_SSL_CONTEXT_SERIALIZATION

/* The longest record of the gateway is below 400 bytes. */
#define MBEDTLS_SSL_IN_CONTENT_LEN 512
#define MBEDTLS_SSL_OUT_CONTENT_LEN 512
#define MBEDTLS_SSL_DTLS_MAX_BUFFERING 512
/* The node asks for no Connection ID of its own. The gateway's has 8 bytes. */
#define MBEDTLS_SSL_CID_IN_LEN_MAX 1
#define MBEDTLS_SSL_CID_OUT_LEN_MAX 16

#endif
