/* A function that can fail returns zero or a length if it succeeds, and one of these if it
 * fails. */
#ifndef LK_ERR_H
#define LK_ERR_H

enum {
	LK_EMALFORMED = -1, /* the bytes are not what they should be */
	LK_ESPACE = -2,     /* the caller's buffer is too small */
	LK_ERANGE = -3,     /* a value that the format does not hold */
	LK_EIO = -4,        /* the board, its chip or its flash failed */
	LK_EAGAIN = -5,     /* nothing to read now; ask again */
	LK_ECLOSED = -6,    /* the association is over */
	LK_ENOMEM = -7,     /* no heap left for DTLS */
	LK_ESTALE = -8,     /* not provably recent */
	LK_ENONE = -9,      /* there is no such thing */
};

#endif
