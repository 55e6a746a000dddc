/*
 * void registers(uint32_t n, uint32_t out[16]) runs n rounds in which every register that a program
 * sees, with the stack pointer and SAR, changes the next one. Then it stores all of them in out. If
 * an interrupt changes one bit of any register anywhere, out differs.
 */
	.text
	.literal_position
	.align	4
	.global	registers
registers:
	movi	a4, kept
	s32i	a0, a4, 0
	s32i	a1, a4, 4
	s32i	a12, a4, 8
	s32i	a13, a4, 12
	s32i	a14, a4, 16
	s32i	a15, a4, 20
	s32i	a3, a4, 24
	mov	a15, a2
	movi	a0, 0x12345
	movi	a1, 0x23456
	movi	a2, 0x34567
	movi	a3, 0x45678
	movi	a4, 0x56789
	movi	a5, 0x6789a
	movi	a6, 0x789ab
	movi	a7, 0x89abc
	movi	a8, 0x9abcd
	movi	a9, 0xabcde
	movi	a10, 0xbcdef
	movi	a11, 0xcdef0
	movi	a12, 0xdef01
	movi	a13, 0xef012
	movi	a14, 0xf0123
1:	ssr	a7
	add	a0, a0, a1
	xor	a1, a1, a2
	add	a2, a2, a3
	xor	a3, a3, a4
	add	a4, a4, a5
	src	a5, a5, a6
	add	a6, a6, a7
	xor	a7, a7, a8
	add	a8, a8, a9
	xor	a9, a9, a10
	add	a10, a10, a11
	src	a11, a11, a12
	add	a12, a12, a13
	xor	a13, a13, a14
	add	a14, a14, a0
	addi	a15, a15, -1
	bnez	a15, 1b
	movi	a15, kept
	l32i	a15, a15, 24
	s32i	a0, a15, 0
	s32i	a1, a15, 4
	s32i	a2, a15, 8
	s32i	a3, a15, 12
	s32i	a4, a15, 16
	s32i	a5, a15, 20
	s32i	a6, a15, 24
	s32i	a7, a15, 28
	s32i	a8, a15, 32
	s32i	a9, a15, 36
	s32i	a10, a15, 40
	s32i	a11, a15, 44
	s32i	a12, a15, 48
	s32i	a13, a15, 52
	s32i	a14, a15, 56
	rsr	a2, sar
	s32i	a2, a15, 60
	movi	a4, kept
	l32i	a0, a4, 0
	l32i	a1, a4, 4
	l32i	a12, a4, 8
	l32i	a13, a4, 12
	l32i	a14, a4, 16
	l32i	a15, a4, 20
	ret

	.section .bss.kept,"aw",@nobits
	.align	4
kept:	.space	28
