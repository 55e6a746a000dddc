/* The image of a switch. */
#include "app.h"
#include "bundle.h"
#include "switch.h"

static struct lk_switch button;

const struct lk_part lk_image[] = {{&button.unit, &lk_role_switch, LK_SEED}, {NULL, NULL, NULL}};
