# Compiles the ports for the two chips against declarations of our own, so that they stay correct C, tests what they do without a chip, and holds
# the renaming of Mbed TLS to its purpose.
# It proves no more than that: no SDK, no board. Included by firmware/Makefile, or in firmware/: make -f port/stubs/build.mk ports-compile
#
# There is no compiler for the ESP32 among Debian's packages; gcc stands in for it.

LX106_CC     ?= xtensa-lx106-elf-gcc
LX106_LIBC   ?= /usr/lib/xtensa-lx106-elf/picolibc.specs
MBEDTLS_DONE ?= build/mbedtls/.complete
PORTS        := build/ports
PORT_FLAGS   := -std=gnu11 -Os -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror \
	-Icore -Iport/esp -isystem build/mbedtls/include -DMBEDTLS_CONFIG_FILE='<mbedtls_config.h>'
PORT_ROLES   := READER SWITCH LOCK LAMP

# What the SDKs refuse unless another header came before it (FreeRTOS.h, stdbool.h, stdint.h): the stubs refuse it as well, or they would hide it.
NOT_ALONE_esp8266 := driver/uart.h driver/hw_timer.h esp_event_base.h freertos/queue.h freertos/task.h
NOT_ALONE_esp32   := freertos/queue.h freertos/task.h

.PHONY: ports-compile ports-test ports-rename
ports-compile: $(MBEDTLS_DONE)
	@mkdir -p $(PORTS)
	@set -e; for role in $(PORT_ROLES) "READER=1 -DLK_BATTERY" "LOCK=1 -DLK_TAMPER" "LAMP=1 -DLK_DIM"; do \
		for f in port/esp/*.c port/esp8266/main/*.c; do \
			$(LX106_CC) --specs=$(LX106_LIBC) -mlongcalls $(PORT_FLAGS) -Iport/stubs/esp8266 -Iport/esp8266/main \
				-DLK_ROLE_$$role=1 -c -o $(PORTS)/port.o $$f; \
		done; \
		for f in port/esp/*.c port/esp32/main/*.c; do \
			$(CC) $(PORT_FLAGS) -Iport/stubs/esp32 -Iport/esp32/main -DLK_ROLE_$$role=1 -c -o $(PORTS)/port.o $$f; \
		done; \
	done
	@set -e; $(foreach chip,esp8266 esp32,for h in $(NOT_ALONE_$(chip)); do \
		printf '#include "%s"\n' $$h >$(PORTS)/alone.c; \
		if $(LX106_CC) --specs=$(LX106_LIBC) -fsyntax-only -Iport/stubs/$(chip) $(PORTS)/alone.c 2>$(PORTS)/alone.log; then \
			echo "port/stubs/$(chip)/$$h compiles alone, which the SDK's does not"; exit 1; fi; \
	done;)
	@echo "ports-compile: ESP8266 and ESP32, each role, compiled against stubs only"

# The ESP8266's port on this machine, with an SDK played by the test.
ports-test: $(MBEDTLS_DONE)
	@mkdir -p $(PORTS)
	@set -e; for role in LOCK READER LAMP; do \
		$(CC) $(PORT_FLAGS) -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -Dabort=stub_abort -Itest \
			-Iport/stubs/esp8266 -Iport/esp8266/main -DLK_ROLE_$$role=1 -DLK_DIM=1 -o $(PORTS)/test-$$role \
			port/stubs/*.c port/esp/*.c port/esp8266/main/port_esp8266.c \
			build/mbedtls/library/sha256.c build/mbedtls/library/platform_util.c; \
		$(PORTS)/test-$$role; \
	done

# Beside the SDK's own Mbed TLS ours must not show one global name of its own, defined or asked for.
ports-rename: $(MBEDTLS_DONE)
	@rm -rf $(PORTS)/renamed && mkdir -p $(PORTS)/renamed
	@port/esp8266/rename.sh build/mbedtls $(PORTS)/rename.h $(LX106_CC)
	@set -e; for f in build/mbedtls/library/*.c core/dtls.c port/esp/*.c; do \
		$(LX106_CC) --specs=$(LX106_LIBC) -mlongcalls -std=gnu11 -Os -w -Icore -Iport/esp -Iport/stubs/esp8266 -Iport/esp8266/main \
			-isystem build/mbedtls/include -include $(PORTS)/rename.h -DLK_ROLE_READER=1 -c -o $(PORTS)/renamed/$$(basename $$f .c).o $$f; \
	done
	@! $(LX106_CC:gcc=nm) -g $(PORTS)/renamed/*.o | grep -E ' mbedtls_' || { echo "ports-rename: these names are the SDK's"; exit 1; }
	@echo "ports-rename: $$(grep -c '^#define [a-z]' $(PORTS)/rename.h) names of Mbed TLS are ours alone"
