/*
 * A whole image (image.h) without encryption (clear_dtls.h), and a gateway that answers it. Include
 * it once in a program. The clock stands still while the image works: time passes only in
 * pass_time().
 */
#ifndef LK_PLAYED_APP_H
#define LK_PLAYED_APP_H

#include "check.h"
#include "clear_dtls.h"
#include "fake_port.h"
#include "image.h"
#include "write_answer.h"

static struct fake_port board;
static uint32_t most; /* the longest wait since it was set to 0 */

static struct {
	bool gone;          /* it does not answer */
	uint8_t verdict;    /* of every intent */
	unsigned scans;     /* and presses */
	uint8_t scan[LK_MESSAGE_MAX]; /* the payload of the latest */
	size_t scan_n;
	char reported[2000];    /* the payloads of reports, with a dot for each byte that is not a letter */
	size_t reported_n;
} gateway;

static uint32_t wait_ms; /* how long the image wants to wait; 0: not at all */

static inline void note_wait(void *ctx, uint32_t ms)
{
	(void)ctx;
	wait_ms = ms;
	most = ms > most ? ms : most;
}

static inline void gateway_answer(
	const struct lk_coap *m, uint8_t code, const char *location, const uint8_t *payload, size_t n)
{
	static const uint8_t echo[8] = {1};
	uint8_t b[LK_MESSAGE_MAX];

	fake_deliver(&board, b, write_answer(b, sizeof b, m, code, location, echo, payload, n));
}

static inline void gateway_take(const struct lk_coap *m)
{
	struct lk_coap_option o = {0};
	uint8_t b[LK_WIRE_MAX];

	while (lk_coap_next(m, &o) && o.number < LK_COAP_URI_PATH)
		;
	if (o.number != LK_COAP_URI_PATH)
		return;
	if (o.len == 2) {
		gateway_answer(m, o.value[0] == 'r' ? LK_COAP_CREATED : LK_COAP_CHANGED, "rd/ab", NULL, 0);
	} else if (o.len != 6 || memcmp(o.value, "report", 6) != 0) {
		gateway.scans++;
		memcpy(gateway.scan, m->payload, m->payload_len);
		gateway.scan_n = m->payload_len;
		int n = lk_verdict_encode(&(struct lk_verdict){.verdict = gateway.verdict}, b, sizeof b);
		gateway_answer(m, LK_COAP_CHANGED, NULL, b, (size_t)n);
	} else {
		for (size_t i = 0; i < m->payload_len && gateway.reported_n + 1 < sizeof gateway.reported; i++)
			gateway.reported[gateway.reported_n++] = m->payload[i] >= 'a' && m->payload[i] <= 'z'
			                                     ? (char)m->payload[i]
			                                     : '.';
		gateway_answer(m, LK_COAP_CHANGED, NULL, NULL, 0);
	}
}

/* Lets the image do what is due and the gateway answer. Returns how long the image wants to
 * wait. */
static inline uint32_t step(void)
{
	uint8_t b[FAKE_DATAGRAM];
	struct lk_coap m;
	size_t n;

	wait_ms = 0;
	lk_app_step(&app);
	while ((n = fake_take_sent(&board, b, sizeof b)) > 0)
		if (!gateway.gone && lk_coap_parse(&m, b, n) == 0)
			gateway_take(&m);
	return wait_ms;
}

/* Runs the image for ms, with what is due at their end. */
static inline void pass_time(uint32_t ms)
{
	for (uint32_t gone = 0; gone < ms;) {
		uint32_t due = step();
		due = board.inbox_n > 0 ? 0 : due < ms - gone ? due : ms - gone;
		fake_pass_time(&board, due);
		gone += due;
	}
	(void)step();
}

/* Makes a board with settings for that role, just switched on. */
static inline void set_up_board(const char *kind)
{
	memset(&gateway, 0, sizeof gateway);
	gateway.verdict = LK_GRANTED;
	clear_handshake = clear_open = 0;
	fake_init(&board);
	board.port.udp_wait = note_wait;
	board.now = 0x90000000; /* the clock may start anywhere */
	fake_provision(&board, kind, "lk-0123456789");
}

static inline void start(void) { start_image(&board.port); }

static inline bool logged(const char *line) { return strstr(board.logged, line) != NULL; }
static inline bool printed(const char *text) { return strstr(board.printed, text) != NULL; }

static inline bool was_reported(const char *name) { return strstr(gateway.reported, name) != NULL; }

static inline void forget_reports(void)
{
	gateway.reported_n = 0;
	memset(gateway.reported, 0, sizeof gateway.reported);
}

static inline void bring_online(void)
{
	pass_time(3000);
	CHECK(lk_node_is_online(&unit->node));
	CHECK(lk_node_is_idle(&unit->node));
}

#endif
