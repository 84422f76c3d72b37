// The system and its machines.
#define _GNU_SOURCE
#include "CKVMLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__x86_64__)
#include "call.h"

int ckvm_open(const char *path) {
  int descriptor = open(path, O_RDWR | O_CLOEXEC);
  return descriptor < 0 ? -errno : descriptor;
}

void ckvm_close(int descriptor) { close(descriptor); }

int ckvm_api_version(int kvm) { return call(kvm, KVM_GET_API_VERSION, NULL); }

int ckvm_check(int descriptor, enum ckvm_capability capability) {
  static const int numbers[] = {
    [CKVM_IRQCHIP] = KVM_CAP_IRQCHIP,
    [CKVM_IRQ_ROUTING] = KVM_CAP_IRQ_ROUTING,
    [CKVM_IRQFD] = KVM_CAP_IRQFD,
    [CKVM_IRQFD_RESAMPLE] = KVM_CAP_IRQFD_RESAMPLE,
    [CKVM_IOEVENTFD] = KVM_CAP_IOEVENTFD,
    [CKVM_IOEVENTFD_ANY_LENGTH] = KVM_CAP_IOEVENTFD_ANY_LENGTH,
    [CKVM_IMMEDIATE_EXIT] = KVM_CAP_IMMEDIATE_EXIT,
    [CKVM_READONLY_MEM] = KVM_CAP_READONLY_MEM,
    [CKVM_NR_MEMSLOTS] = KVM_CAP_NR_MEMSLOTS,
    [CKVM_MAX_VCPUS] = KVM_CAP_MAX_VCPUS,
    [CKVM_SIGNAL_MSI] = KVM_CAP_SIGNAL_MSI,
  };
  return call(descriptor, KVM_CHECK_EXTENSION, (void *)(long)numbers[capability]);
}

int ckvm_create_machine(int kvm) { return call(kvm, KVM_CREATE_VM, NULL); }

int ckvm_set_identity_map_address(int machine, uint64_t address) {
  return call(machine, KVM_SET_IDENTITY_MAP_ADDR, &address);
}

int ckvm_set_tss_address(int machine, uint64_t address) {
  return call(machine, KVM_SET_TSS_ADDR, (void *)address);
}

int ckvm_create_interrupt_controller(int machine) {
  return call(machine, KVM_CREATE_IRQCHIP, NULL);
}

int ckvm_set_memory(int machine, uint32_t slot, bool read_only, uint64_t guest_address,
                    uint64_t byte_count, uint64_t host_address) {
  struct kvm_userspace_memory_region region = {
    .slot = slot,
    .flags = read_only ? KVM_MEM_READONLY : 0,
    .guest_phys_addr = guest_address,
    .memory_size = byte_count,
    .userspace_addr = host_address,
  };
  return call(machine, KVM_SET_USER_MEMORY_REGION, &region);
}

int ckvm_io_event(int machine, int descriptor, bool assign, bool port, uint64_t address,
                  uint32_t byte_count, bool matches, uint64_t value) {
  struct kvm_ioeventfd event = {
    .datamatch = matches ? value : 0,
    .addr = address,
    .len = byte_count,
    .fd = descriptor,
    .flags = (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN) | (port ? KVM_IOEVENTFD_FLAG_PIO : 0)
             | (matches ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
  };
  return call(machine, KVM_IOEVENTFD, &event);
}

int ckvm_interrupt_descriptor(int machine, int descriptor, bool assign, uint32_t line, int resample) {
  struct kvm_irqfd interrupt = {
    .fd = descriptor,
    .gsi = line,
    .flags = (assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN)
             | (assign && resample >= 0 ? KVM_IRQFD_FLAG_RESAMPLE : 0),
    .resamplefd = resample >= 0 ? resample : 0,
  };
  return call(machine, KVM_IRQFD, &interrupt);
}

int ckvm_set_line(int machine, uint32_t line, bool asserted) {
  struct kvm_irq_level level = { .irq = line, .level = asserted };
  return call(machine, KVM_IRQ_LINE, &level);
}

int ckvm_signal_message(int machine, uint64_t address, uint32_t data) {
  struct kvm_msi message = {
    .address_lo = (uint32_t)address, .address_hi = address >> 32, .data = data,
  };
  return call(machine, KVM_SIGNAL_MSI, &message);
}

int ckvm_set_routes(int machine, const struct ckvm_route *routes, size_t count) {
  if (count > 65536) return -EINVAL;
  struct kvm_irq_routing *table =
    calloc(1, sizeof *table + count * sizeof(struct kvm_irq_routing_entry));
  if (!table) return -ENOMEM;
  table->nr = count;
  for (size_t i = 0; i < count; i++) {
    struct kvm_irq_routing_entry *entry = &table->entries[i];
    entry->gsi = routes[i].line;
    if (routes[i].is_message) {
      entry->type = KVM_IRQ_ROUTING_MSI;
      entry->u.msi.address_lo = (uint32_t)routes[i].address;
      entry->u.msi.address_hi = routes[i].address >> 32;
      entry->u.msi.data = routes[i].data;
    } else {
      entry->type = KVM_IRQ_ROUTING_IRQCHIP;
      entry->u.irqchip.irqchip = routes[i].controller;
      entry->u.irqchip.pin = routes[i].pin;
    }
  }
  int result = call(machine, KVM_SET_GSI_ROUTING, table);
  free(table);
  return result;
}

#endif
