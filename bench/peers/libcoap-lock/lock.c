/*
 * A lock made only of libcoap, for tests: it registers at a gateway and serves /act on the same
 * session. It contains no code of latchkey.
 *
 *     lock HOST PORT IDENTITY ANSWER < KEY
 *
 * ANSWER says how it answers: "ack" in the ACK; "con" and "non" with an empty ACK first and a
 * separate response after it. It prints a line for each request, "get" or "post ID", and
 * "registered" when it is registered. It ends when its standard input ends.
 */
#include <arpa/inet.h>
#include <coap3/coap.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CBOR = 60, DELAY = 100 /* ms from the ACK to the response */ };

static const char *answer;
static uint64_t last; /* the command obeyed last, 0 if none */

/* The separate response that is still to be sent. */
static struct {
	bool owed;
	coap_session_t *session;
	coap_pdu_code_t code;
	uint8_t token[8], body[32];
	size_t token_len, body_len;
	coap_tick_t due;
} later;

/* The value of key 8, the id, in a command: a map of integers. */
static uint64_t id_of(const uint8_t *b, size_t n)
{
	uint64_t v[2] = {0, 0};
	for (size_t i = 1, item = 0; i < n; item++) {
		unsigned low = b[i++] & 0x1f;
		v[item % 2] = low;
		if (low >= 24) {
			v[item % 2] = 0;
			for (size_t size = (size_t)1 << (low - 24); size > 0 && i < n; size--)
				v[item % 2] = v[item % 2] << 8 | b[i++];
		}
		if (item % 2 == 1 && v[0] == 8)
			return v[1];
	}
	return 0;
}

/* Writes {8: id, 10: true}, and for a receipt 12: 1. The id has its shortest form, of up to 16
 * bits. */
static size_t write_state(uint8_t *b, bool receipt)
{
	size_t n = 1, pairs = 1;
	if (last > 0) {
		pairs++;
		b[n++] = 8;
		if (last > 0xff) {
			b[n++] = 0x19;
			b[n++] = (uint8_t)(last >> 8);
		} else if (last > 23) {
			b[n++] = 0x18;
		}
		b[n++] = (uint8_t)last;
	}
	b[n++] = 10;
	b[n++] = receipt ? 0xf5 : 0xf4;
	if (receipt) {
		pairs++;
		b[n++] = 12;
		b[n++] = 1;
	}
	b[0] = (uint8_t)(0xa0 | pairs);
	return n;
}

static void add_body(coap_pdu_t *pdu, const uint8_t *body, size_t n)
{
	uint8_t format[2];
	coap_add_option(
		pdu, COAP_OPTION_CONTENT_FORMAT, coap_encode_var_safe(format, sizeof format, CBOR), format);
	coap_add_data(pdu, n, body);
}

static void serve(
	coap_session_t *session, const coap_pdu_t *request, coap_pdu_t *response, coap_pdu_code_t code)
{
	uint8_t body[32];
	size_t n = write_state(body, code == COAP_RESPONSE_CODE_CHANGED);
	coap_bin_const_t token = coap_pdu_get_token(request);
	if (strcmp(answer, "ack") == 0) {
		coap_pdu_set_code(response, code);
		add_body(response, body, n);
		return;
	}
	later.owed = true; /* a response without a code: libcoap sends an empty ACK */
	later.session = session;
	later.code = code;
	memcpy(later.token, token.s, token.length);
	later.token_len = token.length;
	memcpy(later.body, body, n);
	later.body_len = n;
	coap_ticks(&later.due);
	later.due += DELAY * COAP_TICKS_PER_SECOND / 1000;
}

static void get_act(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
	const coap_string_t *query, coap_pdu_t *response)
{
	(void)resource, (void)query;
	printf("get\n");
	serve(session, request, response, COAP_RESPONSE_CODE_CONTENT);
}

static void post_act(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
	const coap_string_t *query, coap_pdu_t *response)
{
	const uint8_t *body = NULL;
	size_t n = 0;
	(void)resource, (void)query;
	coap_get_data(request, &n, &body);
	last = id_of(body, n);
	printf("post %llu\n", (unsigned long long)last);
	serve(session, request, response, COAP_RESPONSE_CODE_CHANGED);
}

static void respond(void)
{
	coap_tick_t now;
	coap_ticks(&now);
	if (!later.owed || now < later.due)
		return;
	later.owed = false;
	coap_pdu_type_t type = strcmp(answer, "con") == 0 ? COAP_MESSAGE_CON : COAP_MESSAGE_NON;
	coap_pdu_t *pdu = coap_new_pdu(type, later.code, later.session);
	coap_add_token(pdu, later.token_len, later.token);
	add_body(pdu, later.body, later.body_len);
	coap_send(later.session, pdu);
}

static coap_response_t registered(
	coap_session_t *session, const coap_pdu_t *sent, const coap_pdu_t *received, const coap_mid_t mid)
{
	(void)session, (void)sent, (void)mid;
	if (coap_pdu_get_code(received) == COAP_RESPONSE_CODE_CREATED)
		printf("registered\n");
	return COAP_RESPONSE_OK;
}

static void add_resource(coap_context_t *ctx)
{
	coap_resource_t *act = coap_resource_init(coap_make_str_const("act"), 0);
	coap_register_request_handler(act, COAP_REQUEST_GET, get_act);
	coap_register_request_handler(act, COAP_REQUEST_POST, post_act);
	coap_add_resource(ctx, act);
}

static coap_session_t *dial(
	coap_context_t *ctx, const char *host, const char *port, const char *identity, const char *key)
{
	coap_address_t to;
	coap_address_init(&to);
	to.addr.sin.sin_family = AF_INET;
	to.addr.sin.sin_port = htons((uint16_t)atoi(port));
	if (inet_pton(AF_INET, host, &to.addr.sin.sin_addr) != 1)
		return NULL;
	coap_dtls_cpsk_t psk = {
		.version = COAP_DTLS_CPSK_SETUP_VERSION,
		.psk_info = {.identity = {strlen(identity), (const uint8_t *)identity},
			.key = {strlen(key), (const uint8_t *)key}},
	};
	return coap_new_client_session_psk2(ctx, NULL, &to, COAP_PROTO_DTLS, &psk);
}

static void register_node(coap_session_t *session)
{
	uint8_t token[8];
	size_t n;
	coap_pdu_t *pdu = coap_new_pdu(COAP_MESSAGE_CON, COAP_REQUEST_CODE_POST, session);
	coap_session_new_token(session, &n, token);
	coap_add_token(pdu, n, token);
	coap_add_option(pdu, COAP_OPTION_URI_PATH, 2, (const uint8_t *)"rd");
	coap_send(session, pdu);
}

int main(int argc, char **argv)
{
	char key[64] = "";
	if (argc != 5 || fgets(key, sizeof key, stdin) == NULL)
		return 2;
	key[strcspn(key, "\n")] = 0;
	answer = argv[4];
	setvbuf(stdout, NULL, _IOLBF, 0);
	coap_startup();
	coap_context_t *ctx = coap_new_context(NULL);
	add_resource(ctx);
	coap_register_response_handler(ctx, registered);
	coap_session_t *session = dial(ctx, argv[1], argv[2], argv[3], key);
	if (session == NULL)
		return 1;
	register_node(session);
	for (;;) {
		struct pollfd in = {.fd = 0, .events = POLLIN};
		char c;
		if (poll(&in, 1, 0) > 0 && read(0, &c, 1) <= 0)
			break;
		coap_io_process(ctx, 10);
		respond();
	}
	coap_session_release(session);
	coap_free_context(ctx);
	coap_cleanup();
	return 0;
}
