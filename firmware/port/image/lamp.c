/* The image of a lamp. */
#include "app.h"
#include "bundle.h"
#include "lamp.h"

static struct lk_lamp lamp;

const struct lk_part lk_image[] = {{&lamp.unit, &lk_role_lamp, LK_SEED}, {NULL, NULL, NULL}};
