#include "battery.h"

enum {
	AWAKE_FOR = 5000,      /* ms it waits for a card after its wake */
	/* ms it stays after a verdict: the light shows it, and the gateway may ask for our state */
	AWAKE_AFTER = 1200,
	AWAKE_AT_MOST = 40000, /* ms; a gateway that does not answer must not empty the battery */
	ASLEEP_FOR = 3600000,  /* ms */
};

static void wake(struct lk_unit *u, uint32_t now)
{
	struct lk_battery_reader *r = (struct lk_battery_reader *)u;
	const struct lk_port *p = u->port;

	lk_reader_start(u, now);
	r->began = now;
	r->awake = now + AWAKE_FOR;
	u->node.registration.lifetime = LK_LIFETIME_ASLEEP;
	if (p->boot(p->ctx) == LK_BOOT_WAKE && lk_sleep_load(&r->sleep, &u->node) < 0)
		p->log(p->own, "nothing kept over sleep", 0);
}

static void sleep_if_done(struct lk_unit *u, bool decided, uint32_t now)
{
	struct lk_battery_reader *r = (struct lk_battery_reader *)u;
	const struct lk_port *p = u->port;

	if (decided)
		r->awake = now + AWAKE_AFTER;
	bool late = now - r->began > AWAKE_AT_MOST;
	bool waits = (int32_t)(now - r->awake) < 0;
	if (!late && (waits || !lk_node_is_idle(&u->node) || !lk_node_is_online(&u->node)))
		return;
	int len = lk_sleep_save(&r->sleep, &u->node);
	p->log(p->own, "asleep, bytes kept", len < 0 ? 0 : (uint32_t)len);
	p->sleep(p->ctx, ASLEEP_FOR);
}

const struct lk_role lk_role_battery_reader = {
	LK_ROLE_TEXTS("reader"),
	.start = wake,
	.step = lk_reader_step,
	.finish = sleep_if_done,
};
