; SPDX-License-Identifier: GPL-2.0-or-later
;
; Real-mode test of INTx: boots from the disk of one 53C895A, then drives it and a second one
; through their I/O BARs. Both stand on PIRQD, so they share one interrupt line (8259 mode). Each
; step raises lines with the one-instruction SCRIPTS program INT, lets the handler below take what
; comes, and prints one line of counts on COM1, which test-intx.py compares.

	bits	16
	org	0x7c00

SLOT0	equ	4			; (slot - 1) mod 4 = 3: INTA of both is PIRQD
SLOT1	equ	8
COMMAND	equ	0x04			; PCI: command register
INTX_OFF equ	0x0400			; PCI 3.0, 6.2.2: interrupt disable
BAR0	equ	0x10
PIRQRCD	equ	0x63			; PIIX3: route of PIRQD
ISA	equ	1			; PIIX3's ISA bridge is 00:01.0
DSTAT	equ	0x0c			; 53C895A: DMA status, reading clears
ISTAT	equ	0x14			; interrupt status: bit 0 DIP, bit 1 SIP
DSP	equ	0x2c			; SCRIPTS pointer; writing it starts
DIEN	equ	0x39			; DMA interrupt enable
SIR	equ	0x04			; DSTAT, DIEN: SCRIPTS INT instruction
TICKS	equ	0x46c			; BIOS: 18.2 a second
PATIENCE equ	18 * 6			; a guard against hanging: it decides nothing that works
SETTLE	equ	5			; ticks in which a superfluous interrupt would show

start:
	jmp	0:.here
.here:
	cld
	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	sp, 0x7c00
	mov	si, packet
	mov	ah, 0x42		; EDD: extended read of the rest of this program
	int	0x13
	jnc	main
	mov	si, noread
	call	print
hang:	hlt
	jmp	hang

; The string at SI to COM1.
print:
	lodsb
	test	al, al
	jz	.end
	call	putc
	jmp	print
.end:	ret

putc:
	push	dx
	push	ax
	mov	dx, 0x3fd
.wait:	in	al, dx
	test	al, 0x20
	jz	.wait
	mov	dx, 0x3f8
	pop	ax
	out	dx, al
	pop	dx
	ret

noread	db	"no rest", 10, 0
	align	4
packet:	db	16, 0
	dw	7, 0x7e00, 0
	dd	1, 0

	times	510 - ($ - $$) db 0
	dw	0xaa55

; Config access of function 0: BH slot, BL register; address port set for the dword.
cfg_addr:
	movzx	eax, bh
	shl	eax, 11
	mov	al, bl
	and	al, 0xfc
	or	eax, 0x80000000
	mov	dx, 0xcf8
	out	dx, eax
	mov	dl, bl
	and	dx, 3
	add	dx, 0xcfc
	ret

; DI: a device block (see dev0). Starts its INT script; the line rises.
raise:
	mov	dx, [di]
	add	dx, DSP
	mov	eax, script
	out	dx, eax
	ret

; Enables the device of block DI in slot BH: decoding, bus mastering, the SIR interrupt alone.
setup:
	mov	bl, BAR0
	call	cfg_addr
	in	eax, dx
	and	al, 0xfc
	mov	[di], ax
	mov	ax, 7
	call	set_command
	mov	dx, [di]
	add	dx, ISTAT
	mov	al, 0x40		; ISTAT SRST: as after power-on, whatever firmware left
	out	dx, al
	xor	al, al
	out	dx, al
	mov	dx, [di]
	add	dx, DIEN
	mov	al, SIR
	out	dx, al
	ret

; Command register of slot BH = AX.
set_command:
	push	ax
	mov	bl, COMMAND
	call	cfg_addr
	pop	ax
	out	dx, ax
	ret

; PIRQD goes to ISA interrupt CL.
route:
	mov	bx, (ISA << 8) | PIRQRCD
	call	cfg_addr
	mov	al, cl
	out	dx, al
	ret

; Takes the condition of block DI away if it has one; ZF clear then.
service:
	mov	dx, [di]
	add	dx, ISTAT
	in	al, dx
	test	al, 3
	jz	.none
	mov	dx, [di]
	add	dx, DSTAT
	in	al, dx
	inc	word [di + 2]
	or	al, 1
.none:	ret

; The handler of both ISA interrupts. One device is served at a time, and none at all while [hold]
; counts down: the line is still up at the end of interrupt, and has to come again.
irq10:	push	ax
	mov	ax, count10
	jmp	irq
irq11:	push	ax
	mov	ax, count11
irq:	push	bx
	push	dx
	push	di
	mov	bx, ax
	inc	word [bx]
	cmp	word [hold], 0
	je	.serve
	dec	word [hold]
	jmp	.end
.serve:	mov	di, dev0
	call	service
	jnz	.end
	mov	di, dev1
	call	service
	jnz	.end
	inc	word [none]
.end:	mov	al, 0x20
	out	0xa0, al
	out	0x20, al
	pop	di
	pop	dx
	pop	bx
	pop	ax
	iret

; Lets CX ticks pass.
pause:
	mov	ax, [TICKS]
.more:	hlt
	mov	dx, [TICKS]
	sub	dx, ax
	cmp	dx, cx
	jb	.more
	ret

; Waits until BX conditions were served, or for PATIENCE, and then for what comes too much.
wait_served:
	mov	ax, [TICKS]
.more:	mov	dx, [dev0 + 2]
	add	dx, [dev1 + 2]
	cmp	dx, bx
	jae	.settle
	hlt
	mov	dx, [TICKS]
	sub	dx, ax
	cmp	dx, PATIENCE
	jb	.more
.settle:
	mov	cx, SETTLE
	jmp	pause

; Prints the name at SI and all counts, clears them, and takes any condition that is left away.
report:
	cli
	call	print
	mov	si, counts
	mov	cx, 5
.next:	mov	bx, [si]
	mov	al, ' '
	call	putc
	mov	ax, [bx]
	call	decimal
	mov	word [bx], 0
	add	si, 2
	loop	.next
	mov	al, 10
	call	putc
	mov	di, dev0
	call	service
	mov	di, dev1
	call	service
	xor	ax, ax
	mov	[dev0 + 2], ax
	mov	[dev1 + 2], ax
	mov	[hold], ax
	sti
	mov	cx, 2			; the end of what was just taken away settles too
	call	pause
	xor	ax, ax
	mov	[count10], ax
	mov	[count11], ax
	mov	[none], ax
	ret

; AX in decimal.
decimal:
	xor	dx, dx
	push	bx
	mov	bx, 10
	div	bx
	pop	bx
	push	dx
	test	ax, ax
	jz	.last
	call	decimal
.last:	pop	ax
	add	al, '0'
	jmp	putc

main:
	cli
	mov	word [0x72 * 4], irq10
	mov	word [0x72 * 4 + 2], 0
	mov	word [0x73 * 4], irq11
	mov	word [0x73 * 4 + 2], 0
	mov	di, dev0
	mov	bh, SLOT0
	call	setup
	mov	di, dev1
	mov	bh, SLOT1
	call	setup
	mov	cl, 11
	call	route
	in	al, 0x21
	and	al, ~0x04		; the cascade
	out	0x21, al
	in	al, 0xa1
	and	al, ~0x0c		; 10 and 11
	out	0xa1, al
	sti

	; One interrupt, served at once.
	mov	di, dev0
	call	raise
	mov	bx, 1
	call	wait_served
	mov	si, t_fires
	call	report

	; The handler ends the interrupt three times with the line still up.
	mov	word [hold], 3
	mov	di, dev0
	call	raise
	mov	bx, 1
	call	wait_served
	mov	si, t_reasserted
	call	report

	; Both devices have the line up; each end of interrupt leaves one.
	cli
	mov	di, dev0
	call	raise
	mov	di, dev1
	call	raise
	sti
	mov	bx, 2
	call	wait_served
	mov	si, t_shared
	call	report

	; Both, and held.
	cli
	mov	word [hold], 2
	mov	di, dev1
	call	raise
	mov	di, dev0
	call	raise
	sti
	mov	bx, 2
	call	wait_served
	mov	si, t_shared_held
	call	report

	; Masked in the 8259 while it rises.
	in	al, 0xa1
	or	al, 0x08
	out	0xa1, al
	mov	di, dev1
	call	raise
	mov	cx, SETTLE
	call	pause
	mov	si, t_masked
	call	print
	mov	ax, [count11]
	call	decimal
	in	al, 0xa1
	and	al, ~0x08
	out	0xa1, al
	mov	bx, 1
	call	wait_served
	mov	si, t_unmasked
	call	report

	; The route changes while the line is up and nobody has taken the interrupt.
	cli
	mov	di, dev0
	call	raise
	mov	cl, 10
	call	route
	sti
	mov	bx, 1
	call	wait_served
	mov	si, t_rerouted
	call	report

	; On the new route, as at first.
	mov	word [hold], 1
	mov	di, dev1
	call	raise
	mov	bx, 1
	call	wait_served
	mov	si, t_new_route
	call	report

	; And back while both lines are up.
	cli
	mov	di, dev0
	call	raise
	mov	di, dev1
	call	raise
	mov	cl, 11
	call	route
	sti
	mov	bx, 2
	call	wait_served
	mov	si, t_back
	call	report

	; Off in the command register while it rises.
	mov	bh, SLOT0
	mov	ax, 7 | INTX_OFF
	call	set_command
	mov	di, dev0
	call	raise
	mov	cx, SETTLE
	call	pause
	mov	si, t_disabled
	call	print
	mov	ax, [count11]
	call	decimal
	mov	bh, SLOT0
	mov	ax, 7
	call	set_command
	mov	bx, 1
	call	wait_served
	mov	si, t_enabled
	call	report

	mov	si, t_end
	call	print
	jmp	hang

t_fires		db	"fires", 0
t_reasserted	db	"reasserted", 0
t_shared	db	"shared", 0
t_shared_held	db	"shared,held", 0
t_masked	db	"masked ", 0
t_unmasked	db	",unmasked", 0
t_disabled	db	"disabled ", 0
t_enabled	db	",enabled", 0
t_rerouted	db	"rerouted", 0
t_new_route	db	"new,route", 0
t_back		db	"back", 0
t_end		db	"end", 10, 0

	align	4
script:	dd	0x98080000, 0x53895a00	; SCRIPTS: INT, unconditionally
counts:	dw	count10, count11, dev0 + 2, dev1 + 2, none
count10	dw	0
count11	dw	0
none	dw	0			; interrupts for which no device had a condition
hold	dw	0
dev0:	dw	0, 0			; I/O BAR, conditions served
dev1:	dw	0, 0

	times	8 * 512 - ($ - $$) db 0
