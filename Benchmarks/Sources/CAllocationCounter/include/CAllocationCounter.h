// Counts heap allocations: this program's malloc family stands in front of the C library's.
#ifndef CALLOCATION_COUNTER_H
#define CALLOCATION_COUNTER_H

#include <stdint.h>

/// Allocations of the whole process since its start.
uint64_t cac_allocation_count(void);

/// Nanoseconds of CLOCK_MONOTONIC.
uint64_t cac_nanoseconds(void);

/// User and system time that the process has used, in nanoseconds.
uint64_t cac_cpu_nanoseconds(void);

/// Keeps the process to one CPU (its number modulo the number of CPUs), or frees it with -1.
void cac_pin(int cpu);

/// A socket pair, blocking. Returns 0 or -1.
int cac_socket_pair(int *ends);

/// Answers every `request` bytes with `reply` bytes until the other end closes: the floor under every
/// register read.
void cac_echo(int socket, long request, long reply);

/// One blocking exchange on a socket: sends `request` bytes, receives `reply`. Returns 0 or -1.
int cac_exchange(int socket, long request, long reply);

#endif
