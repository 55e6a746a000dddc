/*
 * QEMU's semihosting for Xtensa: simcall with the number in a2. File descriptors and the flags of
 * open are the host's own (Linux), and so an inherited socket is read and written a datagram at a
 * time, provided that the buffer does not cross a border of 4 KiB: QEMU splits there. There is no
 * rename, no remove, no clock.
 */
#ifndef LK_SIMCALL_H
#define LK_SIMCALL_H

#include <stddef.h>
#include <stdint.h>

enum {
	SIM_EXIT = 1,
	SIM_READ = 3,
	SIM_WRITE = 4,
	SIM_OPEN = 5,
	SIM_CLOSE = 6,
	SIM_LSEEK = 19,
	SIM_SELECT_ONE = 29
};
enum { SIM_ARGC = 1000, SIM_ARGV_SIZE = 1001, SIM_ARGV = 1002 };
enum { SIM_RDONLY = 0, SIM_WRONLY = 1, SIM_CREAT = 0100, SIM_TRUNC = 01000, SIM_DSYNC = 010000 };

static inline int simcall(int number, uint32_t a, uint32_t b, uint32_t c)
{
	register int a2 __asm__("a2") = number;
	register uint32_t a3 __asm__("a3") = a;
	register uint32_t a4 __asm__("a4") = b;
	register uint32_t a5 __asm__("a5") = c;

	__asm__ volatile("simcall" : "+r"(a2), "+r"(a3) : "r"(a4), "r"(a5) : "memory");
	return a2;
}

static inline int sim_read(int fd, void *b, size_t n)
{
	return simcall(SIM_READ, (uint32_t)fd, (uint32_t)b, n);
}

static inline int sim_write(int fd, const void *b, size_t n)
{
	return simcall(SIM_WRITE, (uint32_t)fd, (uint32_t)b, n);
}

/* Waits until fd can be read without waiting, or ms have passed: above 0 if it can, 0 if not, below
 * 0 if a signal came or it is not open. */
static inline int sim_wait(int fd, uint32_t ms)
{
	uint32_t tv[2] = {ms / 1000, ms % 1000 * 1000};

	return simcall(SIM_SELECT_ONE, (uint32_t)fd, 1, (uint32_t)tv);
}

#endif
