// The C side of KVMSupport: structures and ioctl numbers of <linux/kvm.h>, which Swift cannot import.
//
// Functions return 0 or a result on success and a negative errno on failure; they never touch errno.
#ifndef CKVM_LINUX_H
#define CKVM_LINUX_H

#include <stdint.h>

#endif
