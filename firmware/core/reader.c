#include "reader.h"

void lk_reader_start(struct lk_unit *u, uint32_t now)
{
	(void)now;
	lk_mfrc522_init(&((struct lk_reader *)u)->chip);
}

uint32_t lk_reader_step(struct lk_unit *u, uint32_t now)
{
	struct lk_mfrc522 *chip = &((struct lk_reader *)u)->chip;
	uint8_t uid[LK_UID_MAX];
	uint32_t at, due = lk_mfrc522_step(chip, u->port, now);
	int len = lk_mfrc522_take(chip, uid, &at);

	if (len > 0 && !lk_node_scan(&u->node, uid, (size_t)len, at))
		lk_led_show_once(u->led, LK_LED_RETRY, now);
	lk_wipe(uid, sizeof uid);
	u->fault = chip->dead;
	return due;
}

const struct lk_role lk_role_reader = {
	LK_ROLE_TEXTS("reader"),
	.start = lk_reader_start,
	.step = lk_reader_step,
};
