/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_DRIVER_SPI_H
#define STUB_DRIVER_SPI_H

#include <stdint.h>

#include "esp_err.h"

#define SPI_DEFAULT_INTERFACE 0x1C0

typedef void (*spi_event_callback_t)(int event, void *arg);
typedef enum { CSPI_HOST = 0, HSPI_HOST } spi_host_t;
typedef enum { SPI_4MHz_DIV = 20 } spi_clk_div_t;
typedef enum { SPI_MASTER_MODE, SPI_SLAVE_MODE } spi_mode_t;

typedef union {
	uint32_t val;
} spi_intr_enable_t;

typedef union {
	struct {
		uint32_t cpol : 1;
		uint32_t cpha : 1;
		uint32_t bit_tx_order : 1;
		uint32_t bit_rx_order : 1;
		uint32_t byte_tx_order : 1;
		uint32_t byte_rx_order : 1;
		uint32_t mosi_en : 1;
		uint32_t miso_en : 1;
		uint32_t cs_en : 1;
		uint32_t reserved9 : 23;
	};
	uint32_t val;
} spi_interface_t;

typedef struct {
	uint16_t *cmd;
	uint32_t *addr;
	uint32_t *mosi;
	uint32_t *miso;
	union {
		struct {
			uint32_t cmd : 5;
			uint32_t addr : 7;
			uint32_t mosi : 10;
			uint32_t miso : 10;
		};
		uint32_t val;
	} bits;
} spi_trans_t;

typedef struct {
	spi_interface_t interface;
	spi_intr_enable_t intr_enable;
	spi_event_callback_t event_cb;
	spi_mode_t mode;
	spi_clk_div_t clk_div;
} spi_config_t;

esp_err_t spi_trans(spi_host_t host, spi_trans_t *trans);
esp_err_t spi_init(spi_host_t host, spi_config_t *config);

#endif
