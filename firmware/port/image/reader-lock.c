/* The image of a board that is reader and lock: to the gateway two devices, each with a key of its
 * own. */
#include "app.h"
#include "lock.h"
#include "reader.h"

static struct lk_reader reader;
static struct lk_lock lock;

const struct lk_part lk_image[] = {
	{&reader.unit, &lk_role_reader, NULL},
	{&lock.unit, &lk_role_lock, NULL},
	{NULL, NULL, NULL},
};
