#include "lk_serial.h"

#include <string.h>

#include "freertos/FreeRTOS.h"
#include "driver/uart.h"

enum { SERIAL_BUFFER = 512 }; /* more than comes between two looks at 115200 baud */

bool lk_esp_typed(void)
{
	size_t n = 0;

	return uart_get_buffered_data_len(UART_NUM_0, &n) == ESP_OK && n > 0;
}

static int console_read(void *ctx)
{
	uint8_t c;

	(void)ctx;
	return lk_esp_typed() && uart_read_bytes(UART_NUM_0, &c, 1, 0) == 1 ? c : -1;
}

static void print(void *ctx, const char *text)
{
	(void)ctx;
	(void)uart_write_bytes(UART_NUM_0, text, strlen(text));
}

static void log_line(void *own, const char *text, uint32_t number)
{
	const struct lk_esp_node *n = own;
	char digits[14]; /* a space, ten digits, CR LF NUL */
	char *d = digits + sizeof digits - 3;

	memcpy(d, "\r\n", 3);
	do {
		*--d = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	*--d = ' ';
	if (*n->name != '\0') {
		print(NULL, n->name);
		print(NULL, ": ");
	}
	print(NULL, text);
	print(NULL, d);
}

void lk_esp_serial_init(struct lk_port *port)
{
	(void)uart_driver_install(UART_NUM_0, SERIAL_BUFFER, 0, 0, NULL, 0);
	port->console_read = console_read;
	port->print = print;
	port->log = log_line;
}
