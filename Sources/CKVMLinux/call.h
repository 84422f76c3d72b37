// What both files of the shim use.
#ifndef CKVM_CALL_H
#define CKVM_CALL_H

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

/// An ioctl's result, or its negative errno.
static inline int call(int descriptor, unsigned long request, void *argument) {
  int result = ioctl(descriptor, request, argument);
  return result < 0 ? -errno : result;
}

#endif
