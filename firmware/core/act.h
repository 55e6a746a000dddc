/* The resource /act: commands for an actuator, and its state. */
#ifndef LK_ACT_H
#define LK_ACT_H

#include "resource.h"

extern const struct lk_resource lk_act;

#endif
