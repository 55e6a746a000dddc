/* With below.c a circle, for ladder.sh to refuse: above includes below's header, and below calls
 * back. */
#include "below.h"

int above(int n) { return below(n); }
