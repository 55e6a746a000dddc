#include "wire.h"

#include <string.h>

#include "cbor.h"
#include "err.h"

/* The keys of all messages, and the first one that is elective. */
enum {
	N = 1,
	UID,
	AGE,
	ACTION,
	LEVEL,
	VERDICT,
	LAST,
	ID,
	DURATION,
	ON,
	CONTACT,
	RESULT,
	LEFT,
	EPOCH,
	ELECTIVE = 32,
	OBEYED = ELECTIVE,
	OBEYED_EPOCH
};

/* A field without OPTIONAL is always in the map, one with it only when it is not zero. A field
 * without ZERO is never zero in the map. A field with both is the level: it is there exactly
 * when the action is level. */
enum { OPTIONAL = 1, ZERO = 2, COMMAND = 4 };

/*
 * A message is a list of its fields in the order of their keys, ended by 0. A field is one word,
 * because flash is read by the word: its key, where and how wide it is in the struct, its limit if
 * it is one byte wide, and its flags. Wider fields have their limits in fits.
 */
#define FIELD(key, type, member, limit, flags) \
	((uint32_t)(key) | (uint32_t)offsetof(type, member) << 8 | (uint32_t)(limit) << 16 | \
	 (uint32_t)sizeof(((type *)0)->member) << 24 | (uint32_t)(flags) << 28)

#define KEY(f) ((f) & 0xff)
#define OFFSET(f) ((f) >> 8 & 0xff)
#define LIMIT(f) ((f) >> 16 & 0xff)
#define WIDTH(f) ((f) >> 24 & 0xf)
#define HAS(f, flag) (((f) >> 28 & (flag)) != 0)

static const uint32_t scan_fields[] = {
	FIELD(N, struct lk_scan, n, 0, 0),
	FIELD(UID, struct lk_scan, uid_len, LK_UID_MAX, 0),
	FIELD(AGE, struct lk_scan, age, 0, OPTIONAL),
	0,
};

static const uint32_t act_fields[] = {
	FIELD(N, struct lk_act, n, 0, 0),
	FIELD(AGE, struct lk_act, age, 0, OPTIONAL),
	FIELD(ACTION, struct lk_act, action, LK_LEVEL, 0),
	FIELD(LEVEL, struct lk_act, level, 100, OPTIONAL | ZERO),
	0,
};

static const uint32_t verdict_fields[] = {
	FIELD(VERDICT, struct lk_verdict, verdict, LK_RETRY, ZERO),
	FIELD(LAST, struct lk_verdict, last, 0, ZERO),
	0,
};

static const uint32_t command_fields[] = {
	FIELD(AGE, struct lk_command, age, 0, OPTIONAL),
	FIELD(ACTION, struct lk_command, action, LK_LEVEL, COMMAND),
	FIELD(LEVEL, struct lk_command, level, 100, OPTIONAL | ZERO),
	FIELD(ID, struct lk_command, id, 0, 0),
	FIELD(DURATION, struct lk_command, duration, 0, OPTIONAL),
	FIELD(EPOCH, struct lk_command, epoch, 0, OPTIONAL),
	0,
};

static const uint32_t state_fields[] = {
	FIELD(LEVEL, struct lk_state, level, 100, OPTIONAL),
	FIELD(ID, struct lk_state, id, 0, OPTIONAL),
	FIELD(ON, struct lk_state, on, 1, ZERO),
	FIELD(CONTACT, struct lk_state, contact, LK_CONTACT_OPEN, OPTIONAL),
	FIELD(LEFT, struct lk_state, left, 0, OPTIONAL),
	FIELD(OBEYED, struct lk_state, obeyed, 0, OPTIONAL),
	FIELD(OBEYED_EPOCH, struct lk_state, epoch, 0, OPTIONAL),
	0,
};

static const uint32_t receipt_fields[] = {
	FIELD(LEVEL, struct lk_receipt, state.level, 100, OPTIONAL),
	FIELD(ID, struct lk_receipt, state.id, 0, OPTIONAL),
	FIELD(ON, struct lk_receipt, state.on, 1, ZERO),
	FIELD(CONTACT, struct lk_receipt, state.contact, LK_CONTACT_OPEN, OPTIONAL),
	FIELD(RESULT, struct lk_receipt, result, LK_DONE, ZERO),
	FIELD(LEFT, struct lk_receipt, state.left, 0, OPTIONAL),
	0,
};

/* The value of a field, a negative age as its two's complement; for the UID its length. */
static uint64_t load(const void *m, uint32_t f)
{
	const void *at = (const uint8_t *)m + OFFSET(f);
	if (KEY(f) == AGE)
		return (uint64_t)(int64_t)*(const int32_t *)at;
	switch (WIDTH(f)) {
	case 8:
		return *(const uint64_t *)at;
	case 4:
		return *(const uint32_t *)at;
	default:
		return *(const uint8_t *)at;
	}
}

static void store(void *m, uint32_t f, uint64_t v)
{
	void *at = (uint8_t *)m + OFFSET(f);
	switch (WIDTH(f)) {
	case 8:
		*(uint64_t *)at = v;
		break;
	case 4:
		*(uint32_t *)at = (uint32_t)v;
		break;
	default:
		*(uint8_t *)at = (uint8_t)v;
	}
}

static uint64_t limit(uint32_t f)
{
	if (WIDTH(f) == 8)
		return LK_COUNTER_MAX;
	if (WIDTH(f) == 4)
		return KEY(f) == EPOCH || KEY(f) == OBEYED_EPOCH ? UINT32_MAX : LK_PULSE_MAX;
	return LIMIT(f);
}

/* Tells whether a field may have that value in the map, or may be left out. Rules depend only on
 * fields with smaller keys, which have been read before. */
static bool fits(uint32_t f, bool present, uint64_t v, uint32_t *action, bool *on)
{
	if (!present)
		return HAS(f, OPTIONAL) && !(HAS(f, ZERO) && *action == LK_LEVEL);
	if (v == 0 && !HAS(f, ZERO))
		return false;
	if (KEY(f) == AGE)
		return v + 0x80000000u <= 0xffffffffu;
	if (v > limit(f))
		return false;
	switch (KEY(f)) {
	case UID:
		return v == 4 || v == 7 || v == 10;
	case ACTION:
		*action = (uint32_t)v;
		return !(HAS(f, COMMAND) && v == LK_TOGGLE);
	case LEVEL:
		return !HAS(f, ZERO) || *action == LK_LEVEL;
	case DURATION:
		return *action == LK_UNLOCK;
	case ON:
		*on = v != 0;
		return true;
	case LEFT:
		return *on;
	default:
		return true;
	}
}

static int encode(const uint32_t *fields, const void *m, uint8_t *buf, size_t cap)
{
	struct lk_cbor c = {buf, cap, 0};
	uint32_t action = 0;
	bool on = false;
	uint8_t map = LK_CBOR_MAP;
	lk_cbor_put_byte(&c, map);
	for (; *fields != 0; fields++) {
		uint32_t f = *fields;
		uint64_t v = load(m, f);
		bool present = v != 0 || !HAS(f, OPTIONAL) || (HAS(f, ZERO) && action == LK_LEVEL);
		if (!fits(f, present, v, &action, &on))
			return LK_ERANGE;
		if (!present)
			continue;
		map++;
		lk_cbor_put_head(&c, LK_CBOR_UINT, KEY(f));
		switch (KEY(f)) {
		case UID:
			lk_cbor_put_head(&c, LK_CBOR_BYTES, v);
			lk_cbor_put_bytes(&c, ((const struct lk_scan *)m)->uid, (size_t)v);
			break;
		case AGE:
			lk_cbor_put_int(&c, (int32_t)v);
			break;
		case ON:
			lk_cbor_put_byte(&c, (uint8_t)(LK_CBOR_FALSE + v));
			break;
		default:
			lk_cbor_put_head(&c, LK_CBOR_UINT, v);
		}
	}
	if (c.len > 0)
		buf[0] = map;
	return c.len;
}

static bool take_value(uint32_t f, void *m, const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	uint8_t major;
	if (KEY(f) == ON) {
		if (*p == end)
			return false;
		*v = (uint8_t)(*(*p)++ - LK_CBOR_FALSE); /* anything but false and true is above the limit */
		return true;
	}
	/* No field holds more than a counter, and below that the complement of a negative number stays
	 * one. */
	if (!lk_cbor_take_head(p, end, &major, v) || *v > LK_COUNTER_MAX)
		return false;
	if (KEY(f) == UID) {
		if (major != LK_CBOR_BYTES || *v > LK_UID_MAX || *v > (size_t)(end - *p))
			return false;
		memcpy(((struct lk_scan *)m)->uid, *p, (size_t)*v);
		*p += *v;
		return true;
	}
	if (major == LK_CBOR_NINT)
		*v = ~*v;
	return major == LK_CBOR_UINT || major == LK_CBOR_NINT;
}

/* Takes a field's key, if it comes next. */
static bool take_key(uint32_t f, const uint8_t **p, const uint8_t *end)
{
	const uint8_t *at = *p;
	uint64_t key;
	uint8_t major;

	if (!lk_cbor_take_head(&at, end, &major, &key) || major != LK_CBOR_UINT || key != KEY(f))
		return false;
	*p = at;
	return true;
}

/* Skips the elective members at the end, which are unknown and have keys above last, and adds their
 * number to pairs. */
static bool skip_elective(const uint8_t **p, const uint8_t *end, uint64_t last, uint64_t *pairs)
{
	uint64_t key;
	uint8_t major;
	for (; *p != end; ++*pairs) {
		if (!lk_cbor_take_head(p, end, &major, &key) || major != LK_CBOR_UINT || key <= last ||
			!lk_cbor_skip(p, end))
			return false;
		last = key;
	}
	return true;
}

/* Walks through the fields of the shape and expects the key of each. An
 * unknown, repeated or misplaced key matches no field and ends the walk before the bytes end.
 * Behind them come other elective members, in a message that grows. at becomes the key where the
 * walk ended, 0 if it did not end at one. */
static bool walk(
	const uint32_t *fields, bool grows, void *m, const uint8_t *p, const uint8_t *end, uint64_t *at)
{
	uint64_t pairs, seen = 0, last = ELECTIVE - 1;
	uint32_t action = 0;
	bool on = false;
	uint8_t major;
	*at = 0;
	if (end - p > LK_BODY_MAX || !lk_cbor_take_head(&p, end, &major, &pairs) || major != LK_CBOR_MAP)
		return false;
	for (; *fields != 0; fields++) {
		uint32_t f = *fields;
		uint64_t v = 0;
		bool present = take_key(f, &p, end);
		*at = KEY(f);
		if (present) {
			seen++;
			if (KEY(f) > last)
				last = KEY(f);
			if (!take_value(f, m, &p, end, &v))
				return false;
		}
		if (!fits(f, present, v, &action, &on))
			return false;
		store(m, f, v);
	}
	*at = 0;
	if (grows && !skip_elective(&p, end, last, &seen))
		return false;
	if (p == end)
		return seen == pairs;
	if (!lk_cbor_take_head(&p, end, &major, at) || major != LK_CBOR_UINT)
		*at = 0;
	return false;
}

static int parse(const uint32_t *fields, bool grows, void *m, size_t size, const uint8_t *b, size_t n)
{
	uint64_t at;
	memset(m, 0, size);
	if (n > 0 && walk(fields, grows, m, b, b + n, &at))
		return 0;
	memset(m, 0, size);
	return LK_EMALFORMED;
}

int lk_scan_encode(const struct lk_scan *m, uint8_t *buf, size_t cap)
{
	return encode(scan_fields, m, buf, cap);
}

int lk_act_encode(const struct lk_act *m, uint8_t *buf, size_t cap)
{
	return encode(act_fields, m, buf, cap);
}

int lk_verdict_encode(const struct lk_verdict *m, uint8_t *buf, size_t cap)
{
	return encode(verdict_fields, m, buf, cap);
}

int lk_command_encode(const struct lk_command *m, uint8_t *buf, size_t cap)
{
	return encode(command_fields, m, buf, cap);
}

int lk_state_encode(const struct lk_state *m, uint8_t *buf, size_t cap)
{
	return encode(state_fields, m, buf, cap);
}

int lk_receipt_encode(const struct lk_receipt *m, uint8_t *buf, size_t cap)
{
	return encode(receipt_fields, m, buf, cap);
}

int lk_scan_parse(struct lk_scan *m, const uint8_t *b, size_t n)
{
	return parse(scan_fields, false, m, sizeof *m, b, n);
}

int lk_act_parse(struct lk_act *m, const uint8_t *b, size_t n)
{
	return parse(act_fields, false, m, sizeof *m, b, n);
}

int lk_verdict_parse(struct lk_verdict *m, const uint8_t *b, size_t n)
{
	return parse(verdict_fields, true, m, sizeof *m, b, n);
}

int lk_command_parse(struct lk_command *m, const uint8_t *b, size_t n)
{
	return parse(command_fields, false, m, sizeof *m, b, n);
}

uint8_t lk_command_find_fault(const uint8_t *b, size_t n)
{
	struct lk_command m;
	uint64_t at = 0;
	if (n == 0 || walk(command_fields, false, &m, b, b + n, &at) || at > 255)
		return 0;
	return (uint8_t)at;
}

int lk_state_parse(struct lk_state *m, const uint8_t *b, size_t n)
{
	return parse(state_fields, true, m, sizeof *m, b, n);
}

int lk_receipt_parse(struct lk_receipt *m, const uint8_t *b, size_t n)
{
	return parse(receipt_fields, true, m, sizeof *m, b, n);
}
