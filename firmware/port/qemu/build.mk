# Part of firmware/Makefile: a node in QEMU, on the ESP8266's instruction set and in its memory map.
#
# make qemu         build/qemu/ROLE.elf for each role, and build/qemu/run that starts one
# make qemu-smoke   proves what the board in QEMU promises, without a node and without a gateway
# make qemu-size    what each image takes by its map, and the largest stack frames

Q       := $(B)/qemu
Q_FLAGS := $(LX106_FLAGS) $(WARN) -Iport/qemu
Q_PORT  := $(patsubst %,$(Q)/%.o,start rt heap files romfuncs nodes port_qemu)
Q_WORLD := $(B)/lx106/world/world.o $(B)/lx106/test/mfrc522_model.o $(B)/lx106/test/mfrc522_card.o
Q_LINK   = $(LX)gcc $(LX106_FLAGS) -nostartfiles -T port/qemu/esp8266.ld -Wl,--gc-sections,--no-warn-rwx-segments,-Map=$(@:.elf=.map) \
           $(filter %.o %.a,$^) -o $@

.PHONY: qemu qemu-smoke qemu-size
qemu: $(ROLES:%=$(Q)/%.elf) $(Q)/run
$(Q)/%.elf: $(Q)/main.o $(B)/lx106/image/%.o $(B)/lx106/libcore.a $(B)/lx106/libmbedtls.a $(Q_PORT) $(Q_WORLD) port/qemu/esp8266.ld
	@echo "firmware: $@"
	@$(Q_LINK)

$(Q)/%.o: port/qemu/%.c Makefile port/qemu/build.mk
	@mkdir -p $(@D)
	@$(LX)gcc $(Q_FLAGS) -Icore $(SIM) -MMD -MP -c $< -o $@
$(Q)/%.o: port/qemu/%.S Makefile port/qemu/build.mk
	@mkdir -p $(@D)
	@$(LX)gcc $(Q_FLAGS) -MMD -MP -c $< -o $@
$(Q)/main.o: | $(MBEDTLS_DONE)
$(Q)/main.o: Q_FLAGS += $(INC)

$(Q)/run: port/qemu/run.c Makefile
	@mkdir -p $(@D)
	@$(CC) $(WARN) -O2 $< -o $@

# The same board with the smoke test for a node.
$(Q)/smoke/%.o: port/qemu/%.c Makefile port/qemu/build.mk
	@mkdir -p $(@D)
	@$(LX)gcc $(Q_FLAGS) -Itest/qemu -Icore $(SIM) -MMD -MP -c $< -o $@
$(Q)/smoke/%.o: test/qemu/%.c Makefile port/qemu/build.mk
	@mkdir -p $(@D)
	@$(LX)gcc $(Q_FLAGS) -Itest/qemu -Icore $(SIM) -MMD -MP -c $< -o $@
$(Q)/smoke/%.o: test/qemu/%.S Makefile port/qemu/build.mk
	@mkdir -p $(@D)
	@$(LX)gcc $(Q_FLAGS) -MMD -MP -c $< -o $@
$(Q)/smoke.elf: $(Q)/smoke/smoke.o $(Q)/smoke/registers.o $(Q_PORT) $(Q)/smoke/main.o $(Q_WORLD) port/qemu/esp8266.ld
	@$(Q_LINK)
qemu-smoke: $(Q)/smoke.elf $(Q)/run test/qemu/smoke.sh
	@./ladder.sh qemu port/qemu/*.[ch] -- $(Q_PORT) $(Q)/smoke/main.o
	@timeout 300 test/qemu/smoke.sh $(Q)/run $<

qemu-size: $(ROLES:%=$(Q)/%.elf)
	@port/qemu/size.sh $(B)/lx106 $(^:.elf=.map)

lint: $(B)/lint/qemu
$(B)/lint/qemu: $(wildcard port/qemu/*.[chS] test/qemu/*.[chS]) Makefile | $(MBEDTLS_DONE)
	@mkdir -p $(@D)
	@$(CC) $(WARN) -fanalyzer -O1 -c port/qemu/run.c -o $(B)/lint/qemu-run.o
	@set -e; for f in $(filter-out port/qemu/run.c,$(wildcard port/qemu/*.c)); do \
		$(LX)gcc $(Q_FLAGS) -fanalyzer $(INC) $(SIM) -c $$f -o $(B)/lint/qemu-board.o; done
	@$(CPPCHECK) -Iport/qemu -Itest/qemu port/qemu/*.c test/qemu/*.c
	@touch $@

-include $(wildcard $(Q)/*.d $(Q)/smoke/*.d)
