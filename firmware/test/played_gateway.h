/*
 * A node (clear_node.h) and the gateway that a test plays for it, message by message: the test
 * decides what each answer says and when it arrives. Include it once in a program.
 */
#ifndef LK_PLAYED_GATEWAY_H
#define LK_PLAYED_GATEWAY_H

#include <stdio.h>
#include <stdlib.h>

#include "clear_node.h"
#include "trace.h"

/* The newest message that the node sent. */
static struct lk_coap asked;
static uint8_t asked_b[FAKE_DATAGRAM];
static char path[80];

/* The trace that is being written; trace.h says what it is. */
static struct {
	unsigned boots;
	char name[200];
	size_t n;
	uint32_t at;
	uint64_t tap;
} trace;

static inline void trace_bytes(const char *mode, const uint8_t *b, size_t n)
{
	FILE *f = fopen(trace.name, mode);

	CHECK(f != NULL && fwrite(b, 1, n, f) == n);
	if (f)
		(void)fclose(f);
	trace.n += n;
}

static inline void trace_boot(bool lock)
{
	const char *dir = getenv("LK_TRACE"), *program = strrchr(__BASE_FILE__, '/');

	if (!dir)
		return;
	snprintf(trace.name, sizeof trace.name, "%s/%s-%03u", dir, program ? program + 1 : __BASE_FILE__,
		trace.boots++);
	trace.n = 0;
	trace.at = 0;
	trace.tap = 0;
	trace_bytes("wb", (const uint8_t[]){lock ? TRACE_LOCK : 0}, 1);
}

/* Delivers a message to the node and adds it to the trace. */
static inline void deliver(const uint8_t *b, size_t n)
{
	uint32_t passed = (board.now - trace.at) / 8;

	fake_deliver(&board, b, n);
	if (!trace.name[0] || n > UINT8_MAX || trace.n + 3 + n > TRACE_MOST)
		return;
	bool tap = node.intent.active && node.intent.n != trace.tap;
	if (tap)
		trace.tap = node.intent.n;
	trace_bytes("ab",
		(const uint8_t[]){(uint8_t)n, (uint8_t)(passed > 255 ? 255 : passed),
			TRACE_IDS | TRACE_ECHO | (tap ? TRACE_TAP : 0)},
		3);
	trace_bytes("ab", b, n);
	trace.at = board.now;
}

static inline void boot(bool lock)
{
	trace_boot(lock);
	init_node(lock);
}

/* Takes the newest message that the node sent into asked and path, and drops the older ones. False
 * if there was none. */
static inline bool take_sent(void)
{
	struct lk_coap_option o = {0};
	size_t n, len = 0, at = 0;

	while ((n = fake_take_sent(&board, asked_b, sizeof asked_b)) > 0)
		len = n;
	path[0] = 0;
	if (len == 0 || lk_coap_parse(&asked, asked_b, len) < 0)
		return false;
	while (lk_coap_next(&asked, &o))
		if (o.number == LK_COAP_URI_PATH && at + o.len + 2 < sizeof path) {
			path[at++] = '/';
			memcpy(path + at, o.value, o.len);
			at += o.len;
			path[at] = 0;
		}
	return true;
}

/* Answers asked: with a Location-Path and a payload if they are given, and with an Echo where a
 * gateway adds one. */
static inline void answer(uint8_t code, const char *location, const uint8_t *payload, size_t n)
{
	static uint32_t echo;
	uint8_t b[LK_MESSAGE_MAX], e[8] = {1};
	bool with_echo = code >> 5 == 2 || code == LK_COAP_UNAUTHORIZED;

	echo++;
	memcpy(e + 1, &echo, sizeof echo);
	deliver(b, write_answer(b, sizeof b, &asked, code, location, with_echo ? e : NULL, payload, n));
}

static inline void answer_verdict(uint8_t verdict, uint64_t last)
{
	uint8_t b[LK_WIRE_MAX];
	int n = lk_verdict_encode(&(struct lk_verdict){.verdict = verdict, .last = last}, b, sizeof b);

	CHECK(n > 0);
	answer(LK_COAP_CHANGED, NULL, b, (size_t)n);
}

static inline bool payload_has(const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i + n <= asked.payload_len; i++)
		if (memcmp(asked.payload + i, text, n) == 0)
			return true;
	return false;
}

/* The value of the first such option in asked, or UINT32_MAX. */
static inline uint32_t option_uint(uint16_t number)
{
	struct lk_coap_option o = {0};

	while (lk_coap_next(&asked, &o))
		if (o.number == number)
			return lk_coap_uint(&o);
	return UINT32_MAX;
}

static inline uint32_t step(void) { return lk_node_step(&node); }

/* Advances the clock by ms at once, and returns how long the node would wait then. */
static inline uint32_t due_after(uint32_t ms)
{
	fake_pass_time(&board, ms);
	return step();
}

/* Runs the node for ms as the app does, in waits of at most 50 ms, without answering it. Returns
 * how many steps the node made. */
static inline unsigned pass_time(uint32_t ms)
{
	unsigned rounds = 0;

	for (uint32_t gone = 0; gone < ms; rounds++) {
		uint32_t due = step();
		due = due < 1 ? 1 : due > 50 ? 50 : due;
		fake_pass_time(&board, due);
		gone += due;
	}
	(void)step();
	return rounds;
}

/* Lets the node connect and register. */
static inline void bring_online(void)
{
	for (int i = 0; i < 100 && !take_sent(); i++) {
		uint32_t due = step();
		fake_pass_time(&board, due > 50 ? 50 : due);
	}
	CHECK(strcmp(path, "/rd") == 0);
	answer(LK_COAP_CREATED, "rd/ab", NULL, 0);
	(void)step();
	CHECK(lk_node_is_online(&node));
}

/* A request from the gateway. Fields that do not matter are zero. */
struct request {
	uint8_t type, method; /* LK_COAP_CON is 0 */
	const char *path;     /* NULL: act */
	uint16_t extra;       /* the number of an additional option with the value 1; 0: none */
	bool plain;           /* no Content-Format */
	uint16_t format;      /* 0: CBOR */
	uint16_t accept;      /* 0: no Accept */
	const uint8_t *echo;  /* LK_ECHO_LEN bytes, or NULL */
	size_t echo_len;      /* 0: LK_ECHO_LEN */
	const uint8_t *payload;
	size_t n;
};

static inline void put_extra(struct lk_coap_out *o, const struct request *r, uint16_t below)
{
	if (r->extra > o->last && r->extra < below)
		lk_coap_option_uint(o, r->extra, 1);
}

/* Sends the request to the node, lets the node make one step, and takes the newest answer into
 * asked. Returns its code, or 0 if there was none. */
static inline uint8_t send_request(const struct request *r)
{
	static uint16_t mid;
	uint8_t b[LK_MESSAGE_MAX];
	struct lk_coap_out o;
	size_t cap;

	lk_coap_begin(&o, b, sizeof b, r->type, r->method, ++mid, (const uint8_t *)"gw", 2);
	put_extra(&o, r, LK_COAP_URI_PATH);
	lk_coap_option_path(&o, LK_COAP_URI_PATH, r->path ? r->path : "act");
	put_extra(&o, r, LK_COAP_CONTENT_FORMAT);
	if (r->n > 0 && !r->plain)
		lk_coap_option_uint(&o, LK_COAP_CONTENT_FORMAT, r->format ? r->format : LK_FORMAT_CBOR);
	put_extra(&o, r, LK_COAP_ACCEPT);
	if (r->accept)
		lk_coap_option_uint(&o, LK_COAP_ACCEPT, r->accept);
	put_extra(&o, r, LK_COAP_ECHO);
	if (r->echo)
		lk_coap_option(&o, LK_COAP_ECHO, r->echo, r->echo_len ? r->echo_len : LK_ECHO_LEN);
	put_extra(&o, r, UINT16_MAX);
	uint8_t *p = lk_coap_payload(&o, &cap);
	CHECK(r->n <= cap);
	if (r->n > 0)
		memcpy(p, r->payload, r->n);
	int len = lk_coap_end(&o, (int)r->n);
	CHECK(len > 0);
	(void)take_sent();
	deliver(b, (size_t)len);
	(void)step();
	return take_sent() ? asked.code : 0;
}

/* Sends a request to /act, with an Echo and a command unless they are NULL. */
static inline uint8_t request_act(uint8_t method, const uint8_t *echo, const struct lk_command *c)
{
	uint8_t b[LK_WIRE_MAX];
	int n = c ? lk_command_encode(c, b, sizeof b) : 0;

	CHECK(n >= 0);
	return send_request(&(struct request){.method = method, .echo = echo, .payload = b, .n = (size_t)n});
}

/* Copies the Echo of the newest answer. */
static inline void take_echo(uint8_t echo[LK_ECHO_LEN])
{
	struct lk_coap_option o = {0};

	while (lk_coap_next(&asked, &o))
		if (o.number == LK_COAP_ECHO && o.len == LK_ECHO_LEN)
			memcpy(echo, o.value, LK_ECHO_LEN);
}

#endif
