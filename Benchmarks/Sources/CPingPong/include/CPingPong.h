#pragma once
#include <stdint.h>

/// Nanoseconds that a bare exchange of two cache lines takes: a number in one line, the same number back
/// in another. Two threads, on CPUs 0 and 1, that do nothing else. 0 when no thread can be started.
double cpp_nanoseconds(uint64_t exchange_count);
