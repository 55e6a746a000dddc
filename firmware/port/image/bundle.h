/* The key that is built into an image, by -include FILE of `latchkey device add --format
 * c-header`. */
#ifndef LK_BUNDLE_H
#define LK_BUNDLE_H

#include "settings.h"

#ifdef LK_IDENTITY
static int seed_settings(struct lk_settings *s)
{
	static const struct lk_bundle bundle = LK_BUNDLE("", "");

	return lk_settings_seed(s, &bundle);
}
#define LK_SEED seed_settings
#else
#define LK_SEED NULL
#endif

#endif
