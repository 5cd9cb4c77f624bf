//go:build linux

#include "textflag.h"

// The offsets are those of header and step in program.go; TestLayout holds them together.

// func spawn(args, size, prog uintptr) (pid uintptr)
//
// The child never returns: it runs on the stack named in the clone arguments, touches no Go memory and no g,
// and walks the steps of prog until one executes another program or ends it.
TEXT ·spawn(SB), NOSPLIT, $0-32
	MOVQ args+0(FP), DI
	MOVQ size+8(FP), SI
	MOVQ prog+16(FP), R13
	MOVQ $435, AX             // clone3
	SYSCALL
	TESTQ AX, AX
	JZ   child
	MOVQ AX, pid+24(FP)
	RET

child:
	LEAQ 64(R13), R12         // the first step follows the header

next:
	MOVQ 0(R12), AX
	MOVQ 8(R12), DI
	MOVQ 16(R12), SI
	MOVQ 24(R12), DX
	MOVQ 32(R12), R10
	MOVQ 40(R12), R8
	MOVQ 48(R12), R9
	MOVQ 72(R12), BX          // which arguments are addresses of values
	TESTQ $1, BX
	JZ   first
	MOVQ (DI), DI

first:
	TESTQ $2, BX
	JZ   call
	MOVQ (SI), SI

call:
	SYSCALL
	CMPQ AX, $-4095
	JCC  failed
	MOVQ 64(R12), CX          // where the result goes
	TESTQ CX, CX
	JZ   branch
	MOVQ AX, (CX)

branch:
	TESTQ $4, BX              // whether a result other than 0 leads elsewhere
	JZ   advance
	TESTQ AX, AX
	JZ   advance
	MOVQ 56(R12), R12
	JMP  next

advance:
	ADDQ $80, R12
	JMP  next

failed:
	NEGQ AX
	MOVQ 56(R12), CX          // the error that does not matter
	CMPQ CX, AX
	JEQ  advance
	CMPQ CX, $-1
	JEQ  advance
	MOVQ AX, 8(R13)
	MOVQ R12, 0(R13)
	MOVQ $127, DI
	MOVQ $231, AX             // exit_group
	SYSCALL
	INT  $3
