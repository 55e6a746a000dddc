/* A number for each message of wire.h, for tests that do the same with all of them. */
#ifndef MESSAGES_H
#define MESSAGES_H

#include "wire.h"

enum { SCAN, ACT, VERDICT, COMMAND, STATE, RECEIPT, MESSAGES };

union message {
	struct lk_scan scan;
	struct lk_act act;
	struct lk_verdict verdict;
	struct lk_command command;
	struct lk_state state;
	struct lk_receipt receipt;
};

static inline int message_encode(int kind, const union message *m, uint8_t *buf, size_t cap)
{
	switch (kind) {
	case SCAN:
		return lk_scan_encode(&m->scan, buf, cap);
	case ACT:
		return lk_act_encode(&m->act, buf, cap);
	case VERDICT:
		return lk_verdict_encode(&m->verdict, buf, cap);
	case COMMAND:
		return lk_command_encode(&m->command, buf, cap);
	case STATE:
		return lk_state_encode(&m->state, buf, cap);
	default:
		return lk_receipt_encode(&m->receipt, buf, cap);
	}
}

static inline int message_parse(int kind, union message *m, const uint8_t *b, size_t n)
{
	switch (kind) {
	case SCAN:
		return lk_scan_parse(&m->scan, b, n);
	case ACT:
		return lk_act_parse(&m->act, b, n);
	case VERDICT:
		return lk_verdict_parse(&m->verdict, b, n);
	case COMMAND:
		return lk_command_parse(&m->command, b, n);
	case STATE:
		return lk_state_parse(&m->state, b, n);
	default:
		return lk_receipt_parse(&m->receipt, b, n);
	}
}

#endif
