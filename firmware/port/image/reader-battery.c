/* The image of a reader on a battery. */
#include "app.h"
#include "bundle.h"
#include "battery.h"

static struct lk_battery_reader reader;

const struct lk_part lk_image[] = {
	{&reader.reader.unit, &lk_role_battery_reader, LK_SEED}, {NULL, NULL, NULL}};
