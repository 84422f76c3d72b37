// The C side of the package: what Swift cannot express or import by itself on Linux.
#ifndef CVFIOUSER_LINUX_H
#define CVFIOUSER_LINUX_H

#endif
