/*
 * The firmware's side of a comparison with the gateway's parsers. The test in coapres/wire writes
 * bodies to its standard input and reads the results from its standard output.
 *
 *     in:  kind, length in two bytes, body        kind by messages.h
 *     out: 0, if it is refused; otherwise the length of what its values encode to, and that
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "messages.h"

int main(void)
{
	uint8_t head[3], out[1 + LK_WIRE_MAX];
	while (fread(head, 1, sizeof head, stdin) == sizeof head) {
		size_t n = (size_t)head[1] << 8 | head[2];
		/* Of the exact size, so that the sanitizer sees a read past the end. */
		uint8_t *body = malloc(n + (n == 0));
		union message m;
		if (head[0] >= MESSAGES || body == NULL || fread(body, 1, n, stdin) != n)
			return 2;
		memset(&m, 0xff, sizeof m);
		int len = 0, err = message_parse(head[0], &m, body, n);
		free(body);
		if (err == 0)
			len = message_encode(head[0], &m, out + 1, LK_WIRE_MAX);
		else if (err != LK_EMALFORMED)
			return 3;
		if (len < 0)
			return 4;
		out[0] = (uint8_t)len;
		if (fwrite(out, 1, 1 + (size_t)len, stdout) != 1 + (size_t)len)
			return 5;
	}
	return fflush(stdout) == 0 ? 0 : 5;
}
