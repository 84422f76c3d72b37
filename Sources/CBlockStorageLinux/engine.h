// What the two kinds of engine share.
#ifndef CBS_ENGINE_H
#define CBS_ENGINE_H

#include "CBlockStorageLinux.h"

struct cbs_kind {
  void (*free)(cbs_engine *);
  int (*start)(cbs_engine *, const cbs_operation *, uint64_t);
  int (*kick)(cbs_engine *);
  uint32_t (*reap)(cbs_engine *, cbs_completion *, uint32_t);
  void (*wait)(cbs_engine *);
};

struct cbs_engine {
  const struct cbs_kind *kind;
  int descriptor;
};

#endif
