#pragma once
#include <stdint.h>

/// Nanoseconds an entry of a bare pair of rings in shared memory takes: 64-byte entries one way, 16-byte
/// completions with a phase bit the other way, a doorbell each, `depth` entries in flight. Two threads,
/// on CPUs 0 and 1, that do nothing else. 0 when no thread can be started.
double crf_nanoseconds(int depth, uint64_t entry_count);
