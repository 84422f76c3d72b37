// Facts about files that Swift cannot ask for by itself.
#define _GNU_SOURCE
#include "CBlockStorageLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

const int cbs_o_direct = O_DIRECT;

int cbs_lock(int descriptor, bool exclusive) {
  struct flock lock = {.l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
  if (fcntl(descriptor, F_OFD_SETLK, &lock) == 0) return 0;
  return errno == EACCES ? -EAGAIN : -errno;
}

void cbs_direct_alignment(int descriptor, uint32_t *memory, uint32_t *offset) {
#ifdef STATX_DIOALIGN
  struct statx facts;
  if (statx(descriptor, "", AT_EMPTY_PATH, STATX_DIOALIGN, &facts) == 0 &&
      (facts.stx_mask & STATX_DIOALIGN) && facts.stx_dio_offset_align != 0) {
    *memory = facts.stx_dio_mem_align;
    *offset = facts.stx_dio_offset_align;
    return;
  }
#endif
  int sector_size = 0;
  if (ioctl(descriptor, BLKSSZGET, &sector_size) == 0 && sector_size > 0)
    *memory = *offset = (uint32_t)sector_size;
  else
    *memory = *offset = 4096;
}

bool cbs_can_punch(int descriptor, uint64_t byte_count) {
  // Past the end there is nothing to lose.
  return fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)byte_count,
                   4096) == 0;
}

const void *cbs_zeros(void) {
  static _Alignas(4096) char zeros[CBS_ZEROS_BYTE_COUNT];
  return zeros;
}
