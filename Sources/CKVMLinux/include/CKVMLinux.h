// The C side of KVMSupport: structures and ioctl numbers of <linux/kvm.h>, which Swift cannot import.
//
// Functions return 0 or a result on success and a negative errno on failure. On another architecture
// than x86-64 every one of them returns -ENOSYS.
// Source: the kernel's Documentation/virt/kvm/api.rst.
#ifndef CKVM_LINUX_H
#define CKVM_LINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// --- The system ---

/// Opens the device of KVM. Returns a descriptor.
int ckvm_open(const char *path);

/// Closes a descriptor of KVM's.
void ckvm_close(int descriptor);

/// KVM_GET_API_VERSION.
int ckvm_api_version(int kvm);

/// What KVM_CHECK_EXTENSION can be asked for; the kernel's numbers differ.
enum ckvm_capability {
  CKVM_IRQCHIP, CKVM_IRQ_ROUTING, CKVM_IRQFD, CKVM_IRQFD_RESAMPLE, CKVM_IOEVENTFD,
  CKVM_IOEVENTFD_ANY_LENGTH, CKVM_IMMEDIATE_EXIT, CKVM_READONLY_MEM, CKVM_NR_MEMSLOTS, CKVM_MAX_VCPUS,
  CKVM_SIGNAL_MSI,
};

/// KVM_CHECK_EXTENSION on the system or on a machine: 0 when there is no such thing, else 1 or a count.
int ckvm_check(int descriptor, enum ckvm_capability capability);

/// KVM_CREATE_VM. Returns a descriptor.
int ckvm_create_machine(int kvm);

// --- A machine ---

/// KVM_SET_IDENTITY_MAP_ADDR: one page that KVM takes for itself.
int ckvm_set_identity_map_address(int machine, uint64_t address);

/// KVM_SET_TSS_ADDR: three pages that KVM takes for itself.
int ckvm_set_tss_address(int machine, uint64_t address);

/// KVM_CREATE_IRQCHIP: a local APIC for each CPU made later, an I/O APIC and two 8259s.
int ckvm_create_interrupt_controller(int machine);

/// KVM_SET_USER_MEMORY_REGION; no bytes remove the slot.
int ckvm_set_memory(int machine, uint32_t slot, bool read_only, uint64_t guest_address,
                    uint64_t byte_count, uint64_t host_address);

/// KVM_IOEVENTFD.
int ckvm_io_event(int machine, int descriptor, bool assign, bool port, uint64_t address,
                  uint32_t byte_count, bool matches, uint64_t value);

/// KVM_IRQFD; `resample` is -1 for none.
int ckvm_interrupt_descriptor(int machine, int descriptor, bool assign, uint32_t line, int resample);

/// KVM_IRQ_LINE.
int ckvm_set_line(int machine, uint32_t line, bool asserted);

/// KVM_SIGNAL_MSI. Returns how many CPUs took it; 0 when the guest blocked it.
int ckvm_signal_message(int machine, uint64_t address, uint32_t data);

/// Where a line of the machine goes: to a pin of a controller (0 and 1: the 8259s, 2: the I/O APIC), or
/// as a message.
struct ckvm_route {
  uint32_t line;
  bool is_message;
  uint32_t controller, pin;
  uint64_t address;
  uint32_t data;
};

/// KVM_SET_GSI_ROUTING: the whole table, in place of the one before.
int ckvm_set_routes(int machine, const struct ckvm_route *routes, size_t count);

// --- A CPU ---

/// A virtual CPU: its descriptor and the structure that it shares with the kernel.
typedef struct ckvm_cpu ckvm_cpu;

/// KVM_CREATE_VCPU, its mapping, and KVM_SET_CPUID2 with all that this KVM supports. Returns 0 or -errno;
/// `step` then tells which call it was: 0 KVM_CREATE_VCPU, 1 KVM_GET_VCPU_MMAP_SIZE, 2 mmap,
/// 3 KVM_GET_SUPPORTED_CPUID, 4 KVM_SET_CPUID2.
int ckvm_create_cpu(int kvm, int machine, uint32_t index, ckvm_cpu **cpu, int *step);

/// Unmaps, closes and frees.
void ckvm_destroy_cpu(ckvm_cpu *cpu);

/// The registers that a CPU in flat mode starts with.
struct ckvm_registers {
  uint32_t eax, ebx, ecx, edx, esi, edi, ebp, esp, eip;
};

/// 32-bit protected mode without paging: every segment is all of memory, interrupts are off. `step` on
/// failure: 0 KVM_GET_SREGS, 1 KVM_SET_SREGS, 2 KVM_SET_REGS, 3 KVM_SET_MP_STATE.
int ckvm_set_flat_mode(ckvm_cpu *cpu, const struct ckvm_registers *registers, bool has_controller,
                       int *step);

/// 16-bit real mode at `segment`:0. As ckvm_set_flat_mode.
int ckvm_set_real_mode(ckvm_cpu *cpu, uint16_t segment, const struct ckvm_registers *registers,
                       bool has_controller, int *step);

/// KVM_GET_REGS.
int ckvm_get_registers(ckvm_cpu *cpu, struct ckvm_registers *registers);

/// KVM_GET_MP_STATE, KVM_GET_REGS: 1 when the CPU has halted with interrupts disabled, 0 when not.
int ckvm_is_halted_for_good(ckvm_cpu *cpu);

/// Why a CPU stopped.
enum ckvm_exit_reason {
  CKVM_EXIT_INTERRUPTED, CKVM_EXIT_MEMORY_READ, CKVM_EXIT_MEMORY_WRITE, CKVM_EXIT_PORT_READ,
  CKVM_EXIT_PORT_WRITE, CKVM_EXIT_HALTED, CKVM_EXIT_SHUTDOWN, CKVM_EXIT_FAIL_ENTRY,
  CKVM_EXIT_INTERNAL_ERROR, CKVM_EXIT_SYSTEM_EVENT, CKVM_EXIT_OTHER,
};

/// An exit: for an access, its address, size and value; else `address` is the reason's number
/// and `value` its detail. Of string I/O each element is an exit, with how many follow it.
struct ckvm_exit {
  enum ckvm_exit_reason reason;
  uint32_t byte_count;
  uint32_t following;
  uint64_t address;
  uint64_t value;
};

/// KVM_RUN until something happens. A read's answer is all-ones unless ckvm_complete says other.
/// -EBUSY while another thread is in here. The calling thread does not block the signal of kicks any more.
int ckvm_run(ckvm_cpu *cpu, struct ckvm_exit *exit);

/// The answer to the read that ckvm_run returned last; nothing when it returned no read.
void ckvm_complete(ckvm_cpu *cpu, uint64_t value);

/// Makes the ckvm_run that goes on, or else the next one, return CKVM_EXIT_INTERRUPTED. Any thread.
void ckvm_kick(ckvm_cpu *cpu);

/// Gives the signal that kicks use a handler that does nothing, unless it has one. Returns 0 or -errno.
int ckvm_prepare_kicks(void);

/// The number of the signal that kicks use.
int ckvm_kick_signal(void);

#endif
