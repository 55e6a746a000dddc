/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_ESP8266_SPI_STRUCT_H
#define STUB_ESP8266_SPI_STRUCT_H

#include <stdint.h>

/* The registers that the port uses, in their order; the chip has more between them. */
typedef volatile struct {
	union {
		struct {
			uint32_t reserved0 : 18;
			uint32_t usr : 1;
		};
		uint32_t val;
	} cmd;
	union {
		struct {
			uint32_t usr_dummy_cyclelen : 8;
			uint32_t usr_miso_bitlen : 9;
			uint32_t usr_mosi_bitlen : 9;
			uint32_t usr_addr_bitlen : 6;
		};
		uint32_t val;
	} user1;
	uint32_t data_buf[16];
} spi_dev_t;

extern spi_dev_t SPI1;

#endif
