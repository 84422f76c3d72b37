#include "CKVMLinux.h"
