#include "lock.h"

#include "act.h"

static struct lk_actuator *init(struct lk_unit *u)
{
	struct lk_actuator *a = &((struct lk_lock *)u)->actuator;

	lk_actuator_init(a, u->port, false);
	return a;
}

static void take_contact(struct lk_lock *l)
{
	l->actuator.contact = l->contact.now ? LK_CONTACT_OPEN : LK_CONTACT_CLOSED;
}

static void start(struct lk_unit *u, uint32_t now)
{
	struct lk_lock *l = (struct lk_lock *)u;

	(void)now;
	lk_debounce_begin(&l->contact, lk_unit_input(u, LK_INPUT_CONTACT));
	take_contact(l);
	lk_unit_report(u, LK_REPORT_CONTACT);
}

static uint32_t step(struct lk_unit *u, uint32_t now)
{
	struct lk_lock *l = (struct lk_lock *)u;

	if (lk_debounce_update(&l->button, lk_unit_input(u, LK_INPUT_BUTTON), now) && l->button.now) {
		lk_actuator_open_from_inside(&l->actuator, now);
		lk_unit_report(u, LK_REPORT_EXIT);
	}
	if (lk_debounce_update(&l->contact, lk_unit_input(u, LK_INPUT_CONTACT), now)) {
		take_contact(l);
		lk_unit_report(u, l->contact.now ? LK_REPORT_CONTACT | LK_REPORT_OPENED : LK_REPORT_CONTACT);
	}
	uint32_t due = lk_actuator_poll(&l->actuator, now);
	return due < LK_INPUTS_EVERY ? due : LK_INPUTS_EVERY;
}

const struct lk_role lk_role_lock = {
	LK_ROLE_TEXTS("lock"),
	.without_settings = true, /* people inside must always get out */
	.serves = &lk_act,
	.init = init,
	.start = start,
	.step = step,
};
