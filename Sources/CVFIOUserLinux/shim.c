#include "CVFIOUserLinux.h"
