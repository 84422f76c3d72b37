// On other architectures every call says that there is no KVM of the kind that this package uses.
#define _GNU_SOURCE
#include "CKVMLinux.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#if !defined(__x86_64__)

int ckvm_open(const char *path) { (void)path; return -ENOSYS; }
void ckvm_close(int descriptor) { close(descriptor); }
int ckvm_api_version(int kvm) { (void)kvm; return -ENOSYS; }
int ckvm_check(int descriptor, enum ckvm_capability capability) {
  (void)descriptor; (void)capability; return -ENOSYS;
}
int ckvm_create_machine(int kvm) { (void)kvm; return -ENOSYS; }
int ckvm_set_identity_map_address(int m, uint64_t a) { (void)m; (void)a; return -ENOSYS; }
int ckvm_set_tss_address(int m, uint64_t a) { (void)m; (void)a; return -ENOSYS; }
int ckvm_create_interrupt_controller(int machine) { (void)machine; return -ENOSYS; }
int ckvm_set_memory(int m, uint32_t s, bool r, uint64_t g, uint64_t b, uint64_t h) {
  (void)m; (void)s; (void)r; (void)g; (void)b; (void)h; return -ENOSYS;
}
int ckvm_io_event(int m, int d, bool a, bool p, uint64_t at, uint32_t b, bool x, uint64_t v) {
  (void)m; (void)d; (void)a; (void)p; (void)at; (void)b; (void)x; (void)v; return -ENOSYS;
}
int ckvm_interrupt_descriptor(int m, int d, bool a, uint32_t l, int r) {
  (void)m; (void)d; (void)a; (void)l; (void)r; return -ENOSYS;
}
int ckvm_set_line(int m, uint32_t l, bool a) { (void)m; (void)l; (void)a; return -ENOSYS; }
int ckvm_signal_message(int m, uint64_t a, uint32_t d) { (void)m; (void)a; (void)d; return -ENOSYS; }
int ckvm_set_routes(int m, const struct ckvm_route *r, size_t c) {
  (void)m; (void)r; (void)c; return -ENOSYS;
}
int ckvm_create_cpu(int k, int m, uint32_t i, ckvm_cpu **c, int *step) {
  (void)k; (void)m; (void)i; (void)c; *step = 0; return -ENOSYS;
}
void ckvm_destroy_cpu(ckvm_cpu *cpu) { (void)cpu; }
int ckvm_set_flat_mode(ckvm_cpu *c, const struct ckvm_registers *r, bool h, int *step) {
  (void)c; (void)r; (void)h; *step = 0; return -ENOSYS;
}
int ckvm_set_real_mode(ckvm_cpu *c, uint16_t s, const struct ckvm_registers *r, bool h, int *step) {
  (void)c; (void)s; (void)r; (void)h; *step = 0; return -ENOSYS;
}
int ckvm_is_halted_for_good(ckvm_cpu *c) { (void)c; return -ENOSYS; }
int ckvm_get_registers(ckvm_cpu *c, struct ckvm_registers *r) { (void)c; (void)r; return -ENOSYS; }
int ckvm_run(ckvm_cpu *c, struct ckvm_exit *e) { (void)c; (void)e; return -ENOSYS; }
void ckvm_complete(ckvm_cpu *c, uint64_t v) { (void)c; (void)v; }
void ckvm_kick(ckvm_cpu *cpu) { (void)cpu; }
int ckvm_kick_signal(void) { return SIGRTMIN; }
int ckvm_prepare_kicks(void) { return -ENOSYS; }

#endif
