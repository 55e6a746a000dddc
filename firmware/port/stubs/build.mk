# Compiles the ports for the two chips against our own declarations of the SDKs, tests the ESP8266's
# port without a chip, and checks the renaming of Mbed TLS. There is no SDK and no board here, so it
# proves no more than that. Included by firmware/Makefile, or in firmware/: make -f
# port/stubs/build.mk ports-compile
#
# There is no compiler for the ESP32 among Debian's packages; gcc stands in for it.

LX106_CC     ?= xtensa-lx106-elf-gcc
LX106_LIBC   ?= /usr/lib/xtensa-lx106-elf/picolibc.specs
MBEDTLS_DONE ?= build/mbedtls/.complete
PORTS        := build/ports
PORT_FLAGS   := -std=gnu11 -Os -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror \
	-Icore -Iport/esp -isystem build/mbedtls/include -DMBEDTLS_CONFIG_FILE='<mbedtls_config.h>'
WIRINGS_esp8266 := reader_pins battery_pins door_pins
WIRINGS_esp32   := reader_pins battery_pins door_pins reader_lock_pins

# Headers that the SDKs refuse unless another one was included before (FreeRTOS.h, stdbool.h,
# stdint.h). The stubs refuse them as well; otherwise a missing include would not show here.
NOT_ALONE_esp8266 := driver/uart.h driver/hw_timer.h esp_event_base.h freertos/queue.h freertos/task.h
NOT_ALONE_esp32   := freertos/queue.h freertos/task.h

CC_esp8266 := $(LX106_CC) --specs=$(LX106_LIBC) -mlongcalls
CC_esp32   := $(CC)

.PHONY: ports-compile ports-test ports-rename
ports-compile: $(MBEDTLS_DONE)
	@mkdir -p $(PORTS)
	@set -e; $(foreach chip,esp8266 esp32,for f in port/esp/*.c; do \
		$(CC_$(chip)) $(PORT_FLAGS) -Iport/stubs/$(chip) -Iport/$(chip)/main -c -o $(PORTS)/$(chip)-$$(basename $$f .c).o $$f; done; \
	for pins in $(WIRINGS_$(chip)) "door_pins -DLK_TAMPER=1" "reader_pins -DLK_TAMPER=1" "door_pins -DLK_DIM=1"; do \
		$(CC_$(chip)) $(PORT_FLAGS) -Iport/stubs/$(chip) -Iport/$(chip)/main -DLK_PINS=$$pins -c -o $(PORTS)/port.o port/$(chip)/main/port_$(chip).c; \
	done;)
	@set -e; $(foreach chip,esp8266 esp32,for h in $(NOT_ALONE_$(chip)); do \
		printf '#include "%s"\n' $$h >$(PORTS)/alone.c; \
		if $(LX106_CC) --specs=$(LX106_LIBC) -fsyntax-only -Iport/stubs/$(chip) $(PORTS)/alone.c 2>$(PORTS)/alone.log; then \
			echo "port/stubs/$(chip)/$$h compiles alone, which the SDK's does not"; exit 1; fi; \
	done;)
	@set -e; $(foreach chip,esp8266 esp32,./ladder.sh $(chip) port/esp/*.[ch] -- $(PORTS)/$(chip)-*.o;)
	@echo "ports-compile: ESP8266 and ESP32, each wiring, compiled against stubs only"

# The ESP8266's port on this machine, with a fake SDK.
ports-test: $(MBEDTLS_DONE)
	@mkdir -p $(PORTS)
	@set -e; for pins in door_pins reader_pins "door_pins -DLK_DIM=1"; do \
		$(CC) $(PORT_FLAGS) -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -Dabort=stub_abort -Itest \
			-Iport/stubs/esp8266 -Iport/esp8266/main -DLK_PINS=$$pins -o $(PORTS)/test-port \
			port/stubs/*.c $(filter-out port/esp/main.c,$(wildcard port/esp/*.c)) port/esp8266/main/port_esp8266.c \
			build/mbedtls/library/sha256.c build/mbedtls/library/platform_util.c; \
		$(PORTS)/test-port; \
	done

# The SDK has a Mbed TLS of its own, so ours must neither define nor use one of its global names.
ports-rename: $(MBEDTLS_DONE)
	@rm -rf $(PORTS)/renamed && mkdir -p $(PORTS)/renamed
	@port/esp8266/rename.sh build/mbedtls $(PORTS)/rename.h $(LX106_CC)
	@set -e; for f in build/mbedtls/library/*.c core/dtls.c port/esp/*.c; do \
		$(LX106_CC) --specs=$(LX106_LIBC) -mlongcalls -std=gnu11 -Os -w -Icore -Iport/esp -Iport/stubs/esp8266 -Iport/esp8266/main \
			-isystem build/mbedtls/include -include $(PORTS)/rename.h -c -o $(PORTS)/renamed/$$(basename $$f .c).o $$f; \
	done
	@! $(LX106_CC:gcc=nm) -g $(PORTS)/renamed/*.o | grep -E ' mbedtls_' || { echo "ports-rename: these names are the SDK's"; exit 1; }
	@echo "ports-rename: $$(grep -c '^#define [a-z]' $(PORTS)/rename.h) names of Mbed TLS are ours alone"
