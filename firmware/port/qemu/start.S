/*
 * Reset, vectors, and the timer interrupt.
 *
 * lx106 has the call0 ABI (no register windows), no loop or MAC registers: a0…a15, SAR and PS are all there is to keep. The interrupt
 * keeps them in memory and runs on a stack of its own, so the program's stack mark stays the program's. Level 1 interrupts do not nest.
 */
#include "rt.h"

	.section .reset,"ax"
	.global	_reset
_reset:
	j	1f
	.align	4
0:	.word	_start
1:	l32r	a0, 0b
	jx	a0

	.section .vectors,"ax"
	.align	16
_vectors:
	.org	0x00
	j	_fault
	.org	0x10			/* debug */
	j	_fault
	.org	0x20			/* NMI */
	j	_fault
	.org	0x30			/* exception in kernel mode: PS.UM is always 1 here */
	j	_fault
	.org	0x50			/* exception in user mode, level 1 interrupts among them */
	j	_user
	.org	0x70			/* double exception */
	j	_fault

	.section .text.start,"ax"
	.literal_position
	.align	4
_start:
	movi	a0, _vectors
	wsr	a0, vecbase
	movi	a0, 0
	wsr	a0, intenable
	movi	a0, 0x20		/* PS: UM=1, INTLEVEL=0, EXCM=0 */
	wsr	a0, ps
	rsync
	movi	a1, __stack
	movi	a2, __bss_start
	movi	a3, __bss_end
	movi	a4, 0
1:	bgeu	a2, a3, 2f
	s32i	a4, a2, 0
	addi	a2, a2, 4
	j	1b
2:	movi	a2, __stack_limit	/* the paint that rt_stack_used looks for */
	movi	a4, 0xA5A5A5A5
3:	bgeu	a2, a1, 4f
	s32i	a4, a2, 0
	addi	a2, a2, 4
	j	3b
4:	movi	a0, 0
	call0	main
	call0	rt_exit

	.section .iram,"ax"
	.literal_position
	.align	4
/*
 * What stands before the first read of CCOUNT, and from the second on, is INTERRUPT_COST in rt.c.
 */
_user:
	wsr	a2, excsave1
	movi	a2, rt_saved
	s32i	a3, a2, 12
	rsr	a3, ccount
	s32i	a3, a2, 68
	rsr	a3, exccause
	bnei	a3, 4, _fault		/* 4: level 1 interrupt */
	s32i	a0, a2, 0
	s32i	a1, a2, 4
	rsr	a3, excsave1
	s32i	a3, a2, 8
	s32i	a4, a2, 16
	s32i	a5, a2, 20
	s32i	a6, a2, 24
	s32i	a7, a2, 28
	s32i	a8, a2, 32
	s32i	a9, a2, 36
	s32i	a10, a2, 40
	s32i	a11, a2, 44
	s32i	a12, a2, 48
	s32i	a13, a2, 52
	s32i	a14, a2, 56
	s32i	a15, a2, 60
	rsr	a3, sar
	s32i	a3, a2, 64
	movi	a1, rt_interrupt_stack + RT_INTERRUPT_STACK
	l32i	a2, a2, 68
	movi	a3, rt_interrupt	/* returns in a2 where the second CCOUNT goes */
	callx0	a3
	movi	a1, rt_saved
	l32i	a0, a1, 64
	wsr	a0, sar
	l32i	a0, a1, 0
	l32i	a4, a1, 16
	l32i	a5, a1, 20
	l32i	a6, a1, 24
	l32i	a7, a1, 28
	l32i	a8, a1, 32
	l32i	a9, a1, 36
	l32i	a10, a1, 40
	l32i	a11, a1, 44
	l32i	a12, a1, 48
	l32i	a13, a1, 52
	l32i	a14, a1, 56
	l32i	a15, a1, 60
	rsr	a3, ccount
	s32i	a3, a2, 0
	l32i	a2, a1, 8
	l32i	a3, a1, 12
	l32i	a1, a1, 4
	rfe

_fault:
	movi	a1, rt_interrupt_stack + RT_INTERRUPT_STACK
	rsr	a2, exccause
	rsr	a3, epc1
	rsr	a4, excvaddr
	movi	a5, rt_fault
	callx0	a5

	.section .bss.rt_saved,"aw",@nobits
	.align	4
rt_saved:				/* a0…a15, SAR, CCOUNT at entry */
	.space	72
	.section .bss.rt_interrupt_stack,"aw",@nobits
	.align	16
rt_interrupt_stack:
	.space	RT_INTERRUPT_STACK
