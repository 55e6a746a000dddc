/*
 * The bytes that a node and the gateway exchange, the same as in coapres/wire, whose package
 * comment has the table of keys and the rules. Each message is one CBOR map (Content-Format 60),
 * and each value has one encoding.
 *
 * An encoder returns the length, LK_ERANGE when the message would break a rule, or LK_ESPACE;
 * LK_WIRE_MAX bytes are always enough. After an error the content of the buffer is undefined.
 *
 * A parser returns 0, or LK_EMALFORMED for everything that an encoder would not write; then the
 * struct is all zero, which denies, refuses and asks for nothing. A verdict, state or receipt may
 * also have other elective members (keys from 32 on), which are skipped; a scan, act or command may not.
 * A parser does not judge whether an age is fresh: see echo.h.
 */
#ifndef LK_WIRE_H
#define LK_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LK_BODY_MAX = 128, /* no receiver takes a longer body */
	LK_WIRE_MAX = 40,  /* the longest there is */
	LK_UID_MAX = 10,
	LK_PULSE_MAX = 60000, /* ms */
};

#define LK_COUNTER_MAX ((uint64_t)0x1fffffffffffff) /* 2^53−1, of counters and ids */

/* A request to a target or command to an actuator. 0 asks for nothing. */
enum lk_action {
	LK_UNLOCK = 1,
	LK_LOCK = 2,
	LK_ON = 3,
	LK_OFF = 4,
	LK_TOGGLE = 5, /* asked of the gateway only, never a command */
	LK_LEVEL = 6,
};

enum lk_outcome {
	LK_DENIED = 0,
	LK_GRANTED = 1,
	LK_RETRY = 2, /* granted, but the door did not answer */
};

enum lk_contact { LK_CONTACT_UNKNOWN = 0, LK_CONTACT_CLOSED = 1, LK_CONTACT_OPEN = 2 };

enum lk_result { LK_REFUSED = 0, LK_DONE = 1 };

/* A card read. */
struct lk_scan {
	uint64_t n;              /* scan counter, 1…LK_COUNTER_MAX */
	uint8_t uid[LK_UID_MAX]; /* its first uid_len bytes */
	uint8_t uid_len;         /* 4, 7 or 10 */
	int32_t age;             /* ms from receiving the Echo to the tap; negative when the tap came first */
};

/* A switch's request. */
struct lk_act {
	uint64_t n;
	uint8_t action; /* enum lk_action */
	uint8_t level;  /* 0…100, with LK_LEVEL only */
	int32_t age;
};

/* The answer to a reader. */
struct lk_verdict {
	uint8_t verdict; /* enum lk_outcome */
	uint64_t last;   /* the last counter the gateway took from this device */
};

/* What the gateway asks of an actuator. */
struct lk_command {
	uint64_t id;       /* 1…LK_COUNTER_MAX */
	uint8_t action;    /* enum lk_action, never LK_TOGGLE */
	uint8_t level;     /* 0…100, with LK_LEVEL only */
	uint32_t duration; /* 0…LK_PULSE_MAX, with LK_UNLOCK only; 0 means the actuator's own */
	int32_t age;
	uint32_t epoch; /* of the id, 0 counts as 1 */
};

/* The state of an actuator: its output and its contact. */
struct lk_state {
	uint64_t id;     /* the last command obeyed in this association, 0 if none */
	bool on;         /* relay or lamp is energised: a lock that is on is unlocked */
	uint8_t level;   /* lamps: 0…100 */
	uint8_t contact; /* enum lk_contact */
	uint32_t left;   /* ms until a pulse ends by itself, 0…LK_PULSE_MAX, with on only */
	/* The newest command obeyed in this association or another, and its epoch, 0 if it is 1. Both
	 * are 0 if that is id. A receipt does not have them. */
	uint64_t obeyed;
	uint32_t epoch;
};

/* The answer to a command, with the state after it. */
struct lk_receipt {
	uint8_t result; /* enum lk_result */
	struct lk_state state;
};

int lk_scan_encode(const struct lk_scan *m, uint8_t *buf, size_t cap);
int lk_act_encode(const struct lk_act *m, uint8_t *buf, size_t cap);
int lk_verdict_encode(const struct lk_verdict *m, uint8_t *buf, size_t cap);
int lk_command_encode(const struct lk_command *m, uint8_t *buf, size_t cap);
int lk_state_encode(const struct lk_state *m, uint8_t *buf, size_t cap);
int lk_receipt_encode(const struct lk_receipt *m, uint8_t *buf, size_t cap);

int lk_scan_parse(struct lk_scan *m, const uint8_t *b, size_t n);
int lk_act_parse(struct lk_act *m, const uint8_t *b, size_t n);
int lk_verdict_parse(struct lk_verdict *m, const uint8_t *b, size_t n);
int lk_command_parse(struct lk_command *m, const uint8_t *b, size_t n);
int lk_state_parse(struct lk_state *m, const uint8_t *b, size_t n);
int lk_receipt_parse(struct lk_receipt *m, const uint8_t *b, size_t n);

/* Returns the key of the member that made a command invalid: it is missing, wrong or unknown. 0
 * if there is no such key below 256. */
uint8_t lk_command_find_fault(const uint8_t *b, size_t n);

#endif
