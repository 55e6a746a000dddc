/* What the process exits with. */
#ifndef LK_STATUS_H
#define LK_STATUS_H

enum { LK_HOST_RESTART = 3, LK_HOST_WATCHDOG = 4, LK_HOST_FAILED = 2 };

#endif
