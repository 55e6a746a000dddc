/* The image of a reader. */
#include "app.h"
#include "bundle.h"
#include "reader.h"

static struct lk_reader reader;

const struct lk_part lk_image[] = {{&reader.unit, &lk_role_reader, LK_SEED}, {NULL, NULL, NULL}};
