/* The image of a lock. */
#include "app.h"
#include "bundle.h"
#include "lock.h"

static struct lk_lock lock;

const struct lk_part lk_image[] = {{&lock.unit, &lk_role_lock, LK_SEED}, {NULL, NULL, NULL}};
