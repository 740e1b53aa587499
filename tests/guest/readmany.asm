; SPDX-License-Identifier: GPL-2.0-or-later
;
; A boot sector that reads through the BIOS what it is told on COM1, for bench/bench-guest.
;
; It says "!" once it runs. A command is two words, least significant byte first: a step in bytes
; and a number of blocks. It reads that many blocks of 4 KiB at pseudo-random places of the first
; 64 MiB of its own drive, each with one INT 13h, and adds up a dword every step bytes of each. It
; says "<" when it is ready, begins when another byte comes, for which it does not sleep, and says
; ">" after the last read, and then the sum, a dword. The places go on from command to command:
; state = state * 1664525 + 1013904223, from 1; the block is its upper 14 bits. "E" and the BIOS's
; status, and nothing more, if a read fails.

	bits	16
	org	0x7c00

BLOCK	equ	4096
BUFFER	equ	0x1000			; segment
LSR	equ	0x3fd			; COM1: line status: bit 0 a byte has come, bit 5 may send

start:
	jmp	0:.here
.here:
	cld
	xor	ax, ax
	mov	ds, ax
	mov	ss, ax
	mov	sp, 0x7c00
	mov	ax, BUFFER
	mov	es, ax
	mov	[drive], dl
	sti
	mov	al, '!'
	call	putc
next:
	call	getw
	mov	[step], ax
	call	getw
	mov	[count], ax
	mov	al, '<'
	call	putc
	mov	dx, LSR
.go:
	in	al, dx
	test	al, 1
	jz	.go
	call	getc
	xor	ebp, ebp
read:
	imul	eax, [state], 1664525
	add	eax, 1013904223
	mov	[state], eax
	shr	eax, 32 - 14
	shl	eax, 3			; in blocks of 512
	mov	[packet.block], eax
	mov	si, packet
	mov	dl, [drive]
	mov	ah, 0x42		; EDD: extended read
	int	0x13
	jc	error
	xor	di, di
.add:
	add	ebp, [es:di]
	add	di, [step]
	cmp	di, BLOCK
	jb	.add
	dec	word [count]
	jnz	read
	mov	al, '>'
	call	putc
	mov	cx, 4
.sum:
	mov	ax, bp
	call	putc
	shr	ebp, 8
	loop	.sum
	jmp	next

error:
	mov	al, 'E'
	call	putc
	mov	al, ah
	call	putc
halt:
	hlt
	jmp	halt

; AL to COM1. AH stays.
putc:
	mov	bl, al
	mov	dx, LSR
.wait:
	in	al, dx
	test	al, 0x20
	jz	.wait
	mov	dx, 0x3f8
	mov	al, bl
	out	dx, al
	ret

; A byte from COM1 to AL. Asleep until there is one, but for the timer's ticks, which look for it.
getc:
	mov	dx, LSR
	in	al, dx
	test	al, 1
	jnz	.there
	hlt
	jmp	getc
.there:
	mov	dx, 0x3f8
	in	al, dx
	ret

getw:
	call	getc
	mov	ah, al
	call	getc
	xchg	al, ah
	ret

drive	db	0
	align	4
state	dd	1
step	dw	0
count	dw	0
packet:
	db	16, 0
	dw	BLOCK / 512
	dw	0, BUFFER
.block:	dd	0, 0

	times	510 - ($ - $$) db 0
	dw	0xaa55
