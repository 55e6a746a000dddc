#include "below.h"

extern int above(int n);

int below(int n) { return n > 0 ? above(n - 1) : 0; }
