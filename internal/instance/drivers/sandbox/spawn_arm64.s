//go:build linux

#include "textflag.h"

// The offsets are those of header and step in program.go; TestLayout holds them together.

// func spawn(args, size, prog uintptr) (pid uintptr)
//
// The child never returns: it runs on the stack named in the clone arguments, touches no Go memory and no g,
// and walks the steps of prog until one executes another program or ends it.
TEXT ·spawn(SB), NOSPLIT, $0-32
	MOVD args+0(FP), R0
	MOVD size+8(FP), R1
	MOVD prog+16(FP), R20
	MOVD $435, R8             // clone3
	SVC
	CBZ  R0, child
	MOVD R0, pid+24(FP)
	RET

child:
	ADD  $64, R20, R19        // the first step follows the header

next:
	MOVD 0(R19), R8
	MOVD 8(R19), R0
	MOVD 16(R19), R1
	MOVD 24(R19), R2
	MOVD 32(R19), R3
	MOVD 40(R19), R4
	MOVD 48(R19), R5
	MOVD 72(R19), R9          // which arguments are addresses of values
	TBZ  $0, R9, first
	MOVD (R0), R0

first:
	TBZ  $1, R9, call
	MOVD (R1), R1

call:
	SVC
	CMN  $4095, R0
	BCS  failed               // at or above -4095, unsigned
	MOVD 64(R19), R9          // where the result goes
	CBZ  R9, branch
	MOVD R0, (R9)

branch:
	MOVD 72(R19), R9
	TBZ  $2, R9, advance      // whether a result other than 0 leads elsewhere
	CBZ  R0, advance
	MOVD 56(R19), R19
	B    next

advance:
	ADD  $80, R19, R19
	B    next

failed:
	NEG  R0, R0
	MOVD 56(R19), R9          // the error that does not matter
	CMP  R0, R9
	BEQ  advance
	CMN  $1, R9
	BEQ  advance
	MOVD R0, 8(R20)
	MOVD R19, 0(R20)
	MOVD $127, R0
	MOVD $94, R8              // exit_group
	SVC
	BRK
