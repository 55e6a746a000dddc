/* Reports that a node sends by itself: why it started, the door, the case, the exit button, its
 * supply and signal. */
#ifndef LK_REPORT_H
#define LK_REPORT_H

#include "actuator.h"
#include "link.h"

/* What a report says. */
enum {
	LK_REPORT_BOOT = 1,
	LK_REPORT_CONTACT = 2,
	LK_REPORT_TAMPER = 4,
	LK_REPORT_EXIT = 8,
	LK_REPORT_HEALTH = 16,   /* supply, signal, time since boot */
	LK_REPORT_OPENED = 32,   /* the door was open, if only for a moment: goes with LK_REPORT_CONTACT */
	LK_REPORT_TAMPERED = 64, /* so was the case: goes with LK_REPORT_TAMPER */
};

struct lk_report {
	uint8_t wanted, sending; /* LK_REPORT_… */
	bool tamper;             /* the case is open */
	uint32_t exit_at;        /* when the exit button was pressed */
	uint32_t uptime, second; /* s since boot; when the last one was counted */
};

/* Adds LK_REPORT_… to what the next report says. */
void lk_report_add(struct lk_report *r, uint8_t what, uint32_t now);

/* Counts the seconds since boot, and drops a press of the exit button that is too old to be
 * reported. */
void lk_report_pass_time(struct lk_report *r, uint32_t now);

/* Requeues the content of a report under way, so that it is reported again. */
void lk_report_requeue(struct lk_report *r);

/* Sends what is wanted. LK_ECLOSED as lk_link_send. */
int lk_report_send(struct lk_report *r, struct lk_link *l, const struct lk_actuator *a);

/* Takes the code of the answer. */
void lk_report_take_answer(struct lk_report *r, struct lk_link *l, uint8_t code);

#endif
