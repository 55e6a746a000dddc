/* Makes a circle with below.c that ladder.sh must refuse: above includes below's header, and below
 * calls above. */
#include "below.h"

int above(int n) { return below(n); }
