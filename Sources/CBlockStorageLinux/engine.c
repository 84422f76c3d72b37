#include "engine.h"

void cbs_free(cbs_engine *engine) { engine->kind->free(engine); }

int cbs_descriptor(const cbs_engine *engine) { return engine->descriptor; }

int cbs_start(cbs_engine *engine, const cbs_operation *operation, uint64_t tag) {
  return engine->kind->start(engine, operation, tag);
}

int cbs_kick(cbs_engine *engine) { return engine->kind->kick(engine); }

uint32_t cbs_reap(cbs_engine *engine, cbs_completion *completions, uint32_t capacity) {
  return engine->kind->reap(engine, completions, capacity);
}

void cbs_wait(cbs_engine *engine) { engine->kind->wait(engine); }
