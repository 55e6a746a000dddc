/* Our own declarations, so that the port compiles without the SDK. These are not the SDK's headers,
 * and nothing here has run on a board. */
#ifndef STUB_DRIVER_SPI_MASTER_H
#define STUB_DRIVER_SPI_MASTER_H

#include <stddef.h>
#include <stdint.h>

#include "esp_err.h"

typedef enum { SPI1_HOST, SPI2_HOST, SPI3_HOST } spi_host_device_t;
typedef enum { SPI_DMA_DISABLED } spi_common_dma_t;
typedef spi_common_dma_t spi_dma_chan_t;

/* Members that the port uses, in their order; the SDK has more between them. */
typedef struct {
	int mosi_io_num;
	int miso_io_num;
	int sclk_io_num;
	int quadwp_io_num;
	int quadhd_io_num;
	int data4_io_num;
	int data5_io_num;
	int data6_io_num;
	int data7_io_num;
	int max_transfer_sz;
} spi_bus_config_t;

typedef struct {
	uint8_t command_bits;
	uint8_t address_bits;
	uint8_t dummy_bits;
	uint8_t mode;
	int clock_speed_hz;
	int spics_io_num;
	uint32_t flags;
	int queue_size;
} spi_device_interface_config_t;

typedef struct spi_transaction_t {
	uint32_t flags;
	uint16_t cmd;
	uint64_t addr;
	size_t length;
	size_t rxlength;
	void *user;
	union {
		const void *tx_buffer;
		uint8_t tx_data[4];
	};
	union {
		void *rx_buffer;
		uint8_t rx_data[4];
	};
} spi_transaction_t;

typedef struct spi_device_t *spi_device_handle_t;

esp_err_t spi_bus_initialize(spi_host_device_t host_id, const spi_bus_config_t *bus_config, spi_dma_chan_t dma_chan);
esp_err_t spi_bus_add_device(spi_host_device_t host_id, const spi_device_interface_config_t *dev_config, spi_device_handle_t *handle);
esp_err_t spi_device_polling_transmit(spi_device_handle_t handle, spi_transaction_t *trans_desc);

#endif
