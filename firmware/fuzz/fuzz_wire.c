/*
 * The first byte chooses a message and a direction. From bytes: no parser crashes, and a body that
 * parses is the only encoding of its value, apart from elective members at its end. From values: an
 * encoded value parses to the same value, and the encoder needs no more room than its length.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void check_bytes(int kind, const uint8_t *b, size_t n)
{
	union message m, again;
	uint8_t out[LK_WIRE_MAX], less[LK_WIRE_MAX];
	int got = message_parse(kind, &m, b, n);
	if (got != 0) {
		must(got == LK_EMALFORMED);
		return;
	}
	int len = message_encode(kind, &m, out, sizeof out);
	must(len > 0);
	if (len == (int)n) {
		must(memcmp(out, b, n) == 0);
		return;
	}
	/* The rest are elective members, after all known ones. */
	size_t head = b[0] == 0xb8 ? 2 : 1, known = (size_t)len - 1;
	must(kind == VERDICT || kind == STATE || kind == RECEIPT);
	must(head + known < n && memcmp(out + 1, b + head, known) == 0);
	must(b[head + known] >= 0x18 && b[head + known] <= 0x1b && n <= LK_BODY_MAX);
	must((head == 1 ? b[0] & 0x1f : b[1]) > (out[0] & 0x1f));
	must(message_parse(kind, &again, out, (size_t)len) == 0);
	must(message_encode(kind, &again, less, sizeof less) == len && memcmp(out, less, (size_t)len) == 0);
}

/* The next n bytes of the input as a number, with zeros past the end. */
static uint64_t number(const uint8_t **b, const uint8_t *end, unsigned int n)
{
	uint64_t v = 0;
	for (; n > 0; n--)
		v = v << 8 | (*b < end ? *(*b)++ : 0);
	return v;
}

static void check_values(int kind, const uint8_t *b, const uint8_t *end)
{
	union message m, again;
	uint8_t out[LK_WIRE_MAX], less[LK_WIRE_MAX];
	memset(&m, 0, sizeof m);
	uint64_t n = number(&b, end, 8);
	uint32_t wide = (uint32_t)number(&b, end, 4), wider = (uint32_t)number(&b, end, 4);
	uint8_t x = (uint8_t)number(&b, end, 1), y = (uint8_t)number(&b, end, 1), z = (uint8_t)number(&b, end, 1);
	switch (kind) {
	case SCAN:
		m.scan = (struct lk_scan){.n = n, .uid_len = x, .age = (int32_t)wide};
		for (size_t i = 0; i < LK_UID_MAX && i < x; i++)
			m.scan.uid[i] = (uint8_t)number(&b, end, 1);
		break;
	case ACT:
		m.act = (struct lk_act){n, x, y, (int32_t)wide};
		break;
	case VERDICT:
		m.verdict = (struct lk_verdict){x, n};
		break;
	case COMMAND:
		m.command = (struct lk_command){n, x, y, wider, (int32_t)wide, (uint32_t)number(&b, end, 4)};
		break;
	case STATE:
		m.state = (struct lk_state){n, x & 1, y, z, wide, number(&b, end, 8), wider};
		break;
	default:
		m.receipt = (struct lk_receipt){(uint8_t)wider, {n, x & 1, y, z, wide, 0, 0}};
	}
	int len = message_encode(kind, &m, out, sizeof out);
	if (len < 0) {
		must(len == LK_ERANGE);
		return;
	}
	must(message_encode(kind, &m, less, (size_t)len - 1) == LK_ESPACE);
	must(message_parse(kind, &again, out, (size_t)len) == 0);
	must(message_encode(kind, &again, less, (size_t)len) == len && memcmp(out, less, (size_t)len) == 0);
	switch (kind) {
	case SCAN:
		must(again.scan.n == n && again.scan.age == (int32_t)wide && again.scan.uid_len == x);
		must(memcmp(again.scan.uid, m.scan.uid, LK_UID_MAX) == 0);
		break;
	case ACT:
		must(again.act.n == n && again.act.action == x && again.act.level == y &&
			 again.act.age == (int32_t)wide);
		break;
	case VERDICT:
		must(again.verdict.verdict == x && again.verdict.last == n);
		break;
	case COMMAND:
		must(again.command.id == n && again.command.action == x && again.command.level == y);
		must(again.command.duration == wider && again.command.age == (int32_t)wide);
		must(again.command.epoch == m.command.epoch);
		break;
	default:
		must(kind == STATE || again.receipt.result == (uint8_t)wider);
		struct lk_state s = kind == STATE ? again.state : again.receipt.state;
		must(s.id == n && s.on == (x & 1) && s.level == y && s.contact == z && s.left == wide);
		must(kind == RECEIPT || (s.obeyed == m.state.obeyed && s.epoch == m.state.epoch));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	int kind = data[0] % MESSAGES;
	if (data[0] / MESSAGES % 2 == 0)
		check_bytes(kind, data + 1, size - 1);
	else
		check_values(kind, data + 1, data + size);
	return 0;
}
