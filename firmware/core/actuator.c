#include "actuator.h"

#include <string.h>

#include "err.h"

/* Moves the output; ms above 0 is a pulse. */
static void set(struct lk_actuator *a, uint8_t level, uint32_t ms, uint32_t now)
{
	a->level = level;
	a->pulsing = ms > 0;
	a->until = now + ms;
	a->port->output(a->port->ctx, level, ms);
}

void lk_actuator_init(struct lk_actuator *a, const struct lk_port *port, bool lamp)
{
	*a = (struct lk_actuator){.port = port, .lamp = lamp};
	set(a, 0, 0, 0);
	lk_obeyed_load(&a->newest, port);
}

bool lk_actuator_fits(const struct lk_actuator *a, uint8_t action)
{
	if (a->lamp)
		return action == LK_ON || action == LK_OFF || action == LK_LEVEL;
	return action == LK_UNLOCK || action == LK_LOCK;
}

void lk_actuator_obey(struct lk_actuator *a, const struct lk_command *c, uint32_t now, struct lk_receipt *r)
{
	uint32_t ms = 0;
	uint8_t level = 0;

	if (c->id <= a->last) {
		*r = a->receipt;
		if (c->id < a->last) {
			r->result = LK_REFUSED;
			lk_actuator_read_state(a, now, &r->state);
		}
		return;
	}
	switch (c->action) {
	case LK_UNLOCK:
		level = 100;
		ms = c->duration == 0 ? LK_PULSE_OWN : c->duration > LK_PULSE_LIMIT ? LK_PULSE_LIMIT : c->duration;
		break;
	case LK_ON:
		level = 100;
		break;
	case LK_LEVEL:
		level = c->level;
		break;
	default:
		break;
	}
	a->last = c->id;
	a->epoch = c->epoch > 0 ? c->epoch : 1;
	/* An unlock does not shorten a pulse of the exit button. It replaces that pulse only if it
	 * is longer, because its own pulse would end with the session. */
	if (level == 0 || a->commanded || !a->pulsing || (int32_t)(a->until - now - ms) < 0) {
		a->commanded = true;
		set(a, level, ms, now);
	}
	lk_obeyed_note(&a->newest, a->port, a->last, a->epoch);
	r->result = LK_DONE;
	lk_actuator_read_state(a, now, &r->state);
	a->receipt = *r;
}

#define TEXT(number) #number
#define TEXT_OF(macro) TEXT(macro)
#define LINK "</act>;rt=\"latchkey.act\";if=\"core.a\";ct=60;epoch"

int lk_actuator_write_links(const struct lk_actuator *a, uint8_t *b, size_t cap)
{
	static const char lock[] = LINK ";maxpulse=" TEXT_OF(LK_PULSE_LIMIT);
	size_t len = a->lamp ? sizeof LINK - 1 : sizeof lock - 1;

	if (len > cap)
		return LK_ESPACE;
	memcpy(b, lock, len);
	return (int)len;
}

void lk_actuator_open_from_inside(struct lk_actuator *a, uint32_t now)
{
	a->commanded = false;
	set(a, 100, LK_PULSE_OWN, now);
}

static bool over(const struct lk_actuator *a, uint32_t now)
{
	return a->pulsing && (int32_t)(now - a->until) >= 0;
}

void lk_actuator_read_state(const struct lk_actuator *a, uint32_t now, struct lk_state *s)
{
	bool on = a->level > 0 && !over(a, now);
	bool other = a->newest.id != a->last || a->newest.epoch != a->epoch;

	*s = (struct lk_state){
		.id = a->last,
		.on = on,
		.level = a->lamp ? a->level : 0,
		.contact = a->contact,
		.left = on && a->pulsing ? a->until - now : 0,
		.obeyed = other ? a->newest.id : 0,
		.epoch = other && a->newest.id > 0 && a->newest.epoch > 1 ? a->newest.epoch : 0,
	};
}

void lk_actuator_begin_session(struct lk_actuator *a)
{
	a->last = 0;
	a->epoch = 0;
	memset(&a->receipt, 0, sizeof a->receipt);
}

void lk_actuator_lose_session(struct lk_actuator *a)
{
	if (!a->lamp && a->commanded && a->pulsing)
		set(a, 0, 0, 0);
}

uint32_t lk_actuator_poll(struct lk_actuator *a, uint32_t now)
{
	if (over(a, now))
		set(a, 0, 0, now);
	return a->pulsing ? a->until - now : UINT32_MAX;
}
