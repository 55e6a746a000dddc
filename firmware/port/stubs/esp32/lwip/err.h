/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_LWIP_ERR_H
#define STUB_LWIP_ERR_H

typedef signed char err_t;

enum { ERR_OK = 0, ERR_INPROGRESS = -5 };

#endif
