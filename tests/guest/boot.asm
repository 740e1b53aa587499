; SPDX-License-Identifier: GPL-2.0-or-later
;
; A boot sector that shows that it runs from the disk it was loaded from: it says so on COM1, reads
; block 1 of its own drive and prints it, and writes what it read, with the first letter changed,
; to block 2 (or -dTARGET=N). With -dCDROM it is an El Torito image: then blocks have 2048 bytes,
; and it reads the primary volume descriptor, block 16, and writes nothing.

	bits	16
	org	0x7c00

%ifdef CDROM
SOURCE	equ	16
TEXT	equ	0x8000 + 40		; ECMA-119 8.4.7: volume identifier
LENGTH	equ	32
%else
SOURCE	equ	1
TEXT	equ	0x8000
LENGTH	equ	32
%endif
%ifndef TARGET
TARGET	equ	2
%endif

start:
	jmp	0:.here
.here:
	cld
	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	sp, 0x7c00
	mov	[drive], dl
	mov	si, hello
	call	print
	mov	ah, 0x42		; EDD: extended read
	mov	dword [packet.block], SOURCE
	call	disk
	mov	byte [TEXT + LENGTH], 0
	mov	si, TEXT
	call	print
%ifndef CDROM
	mov	byte [TEXT], 'W'
	mov	ax, 0x4300		; EDD: extended write, no verify
	mov	dword [packet.block], TARGET
	call	disk
%endif
	mov	si, done
	call	print
halt:
	hlt
	jmp	halt

; INT 13h function AH on the packet.
disk:
	mov	dl, [drive]
	mov	si, packet
	int	0x13
	jnc	.ok
	mov	si, error
	call	print
	jmp	halt
.ok:
	ret

; The string at SI to COM1.
print:
	lodsb
	test	al, al
	jz	.end
	mov	ah, al
	mov	dx, 0x3fd		; line status
.wait:
	in	al, dx
	test	al, 0x20		; transmitter holding register empty
	jz	.wait
	mov	dx, 0x3f8
	mov	al, ah
	out	dx, al
	jmp	print
.end:
	ret

hello	db	"boot: ", 0
done	db	" :done", 10, 0
error	db	" :disk error", 10, 0
drive	db	0
	align	4
packet:
	db	16, 0
	dw	1			; one block
	dw	0x8000, 0		; to 0:8000h
.block:	dd	0, 0

%ifdef CDROM
	times	2048 - ($ - $$) db 0
%else
	times	510 - ($ - $$) db 0
	dw	0xaa55
%endif
