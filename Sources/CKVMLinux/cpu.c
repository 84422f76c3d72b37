// The CPUs of a machine.
#define _GNU_SOURCE
#include "CKVMLinux.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#include "call.h"

struct ckvm_cpu {
  int descriptor;
  struct kvm_run *run;
  size_t byte_count;
  /// The kernel's number of the thread that ran the CPU last; 0 before.
  pid_t thread;
  /// Whether a thread is in ckvm_run.
  bool is_busy;
  /// Where the answer to the last read goes, and its size; size 0 for none.
  uint8_t *answer;
  uint32_t answer_byte_count;
  /// String I/O that is handed out element by element: the next one, and how many are left.
  uint8_t *element;
  uint32_t left;
};

/// All CPUID entries that this KVM supports, with the CPU's own number where they tell it.
static int set_identification(int kvm, int cpu, uint32_t index, int *step) {
  enum { limit = 256 };
  struct kvm_cpuid2 *table = calloc(1, sizeof *table + limit * sizeof(struct kvm_cpuid_entry2));
  if (!table) return -ENOMEM;
  table->nent = limit;
  *step = 3;
  int result = call(kvm, KVM_GET_SUPPORTED_CPUID, table);
  if (result >= 0) {
    for (uint32_t i = 0; i < table->nent; i++) {
      struct kvm_cpuid_entry2 *entry = &table->entries[i];
      if (entry->function == 1) entry->ebx = (entry->ebx & 0x00ffffff) | index << 24;
      if (entry->function == 0xb || entry->function == 0x1f) entry->edx = index;
    }
    *step = 4;
    result = call(cpu, KVM_SET_CPUID2, table);
  }
  free(table);
  return result < 0 ? result : 0;
}

int ckvm_create_cpu(int kvm, int machine, uint32_t index, ckvm_cpu **cpu, int *step) {
  *step = 0;
  ckvm_cpu *made = calloc(1, sizeof *made);
  if (!made) return -ENOMEM;
  made->run = MAP_FAILED;
  int result = made->descriptor = call(machine, KVM_CREATE_VCPU, (void *)(long)index);
  if (result >= 0) {
    *step = 1;
    result = call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);
  }
  if (result >= 0) {
    *step = 2;
    made->byte_count = result;
    made->run = mmap(NULL, result, PROT_READ | PROT_WRITE, MAP_SHARED, made->descriptor, 0);
    result = made->run == MAP_FAILED ? -errno : 0;
  }
  if (result >= 0) result = set_identification(kvm, made->descriptor, index, step);
  if (result < 0) {
    ckvm_destroy_cpu(made);
    return result;
  }
  *cpu = made;
  return 0;
}

void ckvm_destroy_cpu(ckvm_cpu *cpu) {
  if (cpu->run != MAP_FAILED) munmap(cpu->run, cpu->byte_count);
  if (cpu->descriptor >= 0) close(cpu->descriptor);
  free(cpu);
}

static int set_registers(ckvm_cpu *cpu, const struct ckvm_registers *from, bool has_controller,
                         int *step) {
  struct kvm_regs to = {
    .rax = from->eax, .rbx = from->ebx, .rcx = from->ecx, .rdx = from->edx,
    .rsi = from->esi, .rdi = from->edi, .rbp = from->ebp, .rsp = from->esp,
    .rip = from->eip, .rflags = 2,
  };
  *step = 2;
  int result = call(cpu->descriptor, KVM_SET_REGS, &to);
  if (result < 0 || !has_controller) return result;
  // A CPU other than the first would wait for another one to start it.
  struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };
  *step = 3;
  return call(cpu->descriptor, KVM_SET_MP_STATE, &state);
}

int ckvm_set_flat_mode(ckvm_cpu *cpu, const struct ckvm_registers *registers, bool has_controller,
                       int *step) {
  enum { code = 11, data = 3 };
  struct kvm_sregs special;
  *step = 0;
  int result = call(cpu->descriptor, KVM_GET_SREGS, &special);
  if (result < 0) return result;
  struct kvm_segment segment = {
    .base = 0, .limit = 0xffffffff, .selector = 0x10, .type = data,
    .present = 1, .db = 1, .s = 1, .g = 1,
  };
  special.ds = special.es = special.fs = special.gs = special.ss = segment;
  segment.selector = 0x08;
  segment.type = code;
  special.cs = segment;
  // Protection on; paging, emulation and task-switched off: MMX instructions work.
  special.cr0 = 0x31;
  special.cr3 = special.cr4 = special.efer = 0;
  *step = 1;
  result = call(cpu->descriptor, KVM_SET_SREGS, &special);
  return result < 0 ? result : set_registers(cpu, registers, has_controller, step);
}

int ckvm_set_real_mode(ckvm_cpu *cpu, uint16_t selector, const struct ckvm_registers *registers,
                       bool has_controller, int *step) {
  enum { code = 11, data = 3 };
  struct kvm_sregs special;
  *step = 0;
  int result = call(cpu->descriptor, KVM_GET_SREGS, &special);
  if (result < 0) return result;
  struct kvm_segment segment = {
    .base = (uint64_t)selector << 4, .limit = 0xffff, .selector = selector, .type = data,
    .present = 1, .s = 1,
  };
  special.ds = special.es = special.fs = special.gs = special.ss = segment;
  segment.type = code;
  special.cs = segment;
  special.cr0 = 0x30;
  special.cr3 = special.cr4 = special.efer = 0;
  *step = 1;
  result = call(cpu->descriptor, KVM_SET_SREGS, &special);
  return result < 0 ? result : set_registers(cpu, registers, has_controller, step);
}

int ckvm_get_registers(ckvm_cpu *cpu, struct ckvm_registers *to) {
  struct kvm_regs from;
  int result = call(cpu->descriptor, KVM_GET_REGS, &from);
  if (result < 0) return result;
  *to = (struct ckvm_registers){
    .eax = from.rax, .ebx = from.rbx, .ecx = from.rcx, .edx = from.rdx,
    .esi = from.rsi, .edi = from.rdi, .ebp = from.rbp, .esp = from.rsp, .eip = from.rip,
  };
  return 0;
}

int ckvm_is_halted_for_good(ckvm_cpu *cpu) {
  enum { interrupts_enabled = 1 << 9 };
  struct kvm_mp_state state;
  int result = call(cpu->descriptor, KVM_GET_MP_STATE, &state);
  if (result < 0 || state.mp_state != KVM_MP_STATE_HALTED) return result < 0 ? result : 0;
  struct kvm_regs registers;
  result = call(cpu->descriptor, KVM_GET_REGS, &registers);
  return result < 0 ? result : !(registers.rflags & interrupts_enabled);
}

/// The value of a little-endian field of up to eight bytes.
static uint64_t value_at(const uint8_t *bytes, uint32_t byte_count) {
  uint64_t value = 0;
  memcpy(&value, bytes, byte_count <= 8 ? byte_count : 8);
  return value;
}

/// A read waits for its answer: all-ones until there is another.
static void expect_answer(ckvm_cpu *cpu, uint8_t *place, uint32_t byte_count) {
  cpu->answer = place;
  cpu->answer_byte_count = byte_count <= 8 ? byte_count : 8;
  memset(place, 0xff, cpu->answer_byte_count);
}

/// Hands out the next element of a port access.
static void take_element(ckvm_cpu *cpu, struct ckvm_exit *exit) {
  struct kvm_run *run = cpu->run;
  cpu->left -= 1;
  exit->address = run->io.port;
  exit->byte_count = run->io.size;
  exit->following = cpu->left;
  if (run->io.direction == KVM_EXIT_IO_OUT) {
    exit->reason = CKVM_EXIT_PORT_WRITE;
    exit->value = value_at(cpu->element, run->io.size);
  } else {
    exit->reason = CKVM_EXIT_PORT_READ;
    expect_answer(cpu, cpu->element, run->io.size);
  }
  cpu->element += run->io.size;
}

/// Fills `exit` from what the kernel says.
static void take_exit(ckvm_cpu *cpu, struct ckvm_exit *exit) {
  struct kvm_run *run = cpu->run;
  exit->address = run->exit_reason;
  switch (run->exit_reason) {
  case KVM_EXIT_MMIO:
    exit->address = run->mmio.phys_addr;
    exit->byte_count = run->mmio.len;
    if (run->mmio.is_write) {
      exit->reason = CKVM_EXIT_MEMORY_WRITE;
      exit->value = value_at(run->mmio.data, run->mmio.len);
    } else {
      exit->reason = CKVM_EXIT_MEMORY_READ;
      expect_answer(cpu, run->mmio.data, run->mmio.len);
    }
    return;
  case KVM_EXIT_IO:
    cpu->element = (uint8_t *)run + run->io.data_offset;
    cpu->left = run->io.count;
    take_element(cpu, exit);
    return;
  case KVM_EXIT_HLT:
    exit->reason = CKVM_EXIT_HALTED;
    return;
  case KVM_EXIT_SHUTDOWN:
    exit->reason = CKVM_EXIT_SHUTDOWN;
    return;
  case KVM_EXIT_FAIL_ENTRY:
    exit->reason = CKVM_EXIT_FAIL_ENTRY;
    exit->value = run->fail_entry.hardware_entry_failure_reason;
    return;
  case KVM_EXIT_INTERNAL_ERROR:
    exit->reason = CKVM_EXIT_INTERNAL_ERROR;
    exit->value = run->internal.suberror;
    return;
  case KVM_EXIT_SYSTEM_EVENT:
    exit->reason = CKVM_EXIT_SYSTEM_EVENT;
    exit->value = run->system_event.type;
    return;
  default:
    exit->reason = CKVM_EXIT_OTHER;
    return;
  }
}

/// Takes back the wish of a kick; whoever kicked before this gets the interruption returned after it.
static void take_kick(ckvm_cpu *cpu, struct ckvm_exit *exit) {
  __atomic_store_n(&cpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
  exit->reason = CKVM_EXIT_INTERRUPTED;
}

/// The calling thread's number. Its first call lets the signal of kicks through: threads of a pool, and
/// those that they make, block every signal.
static pid_t running_thread(void) {
  static __thread pid_t thread;
  if (thread == 0) {
    sigset_t kicks;
    sigemptyset(&kicks);
    sigaddset(&kicks, ckvm_kick_signal());
    pthread_sigmask(SIG_UNBLOCK, &kicks, NULL);
    thread = gettid();
  }
  return thread;
}

static int run(ckvm_cpu *cpu, struct ckvm_exit *exit) {
  memset(exit, 0, sizeof *exit);
  cpu->answer_byte_count = 0;
  // Pairs with ckvm_kick: either it sees this thread, or what follows sees its wish.
  __atomic_store_n(&cpu->thread, running_thread(), __ATOMIC_SEQ_CST);
  if (cpu->left > 0) {
    if (__atomic_load_n(&cpu->run->immediate_exit, __ATOMIC_SEQ_CST)) take_kick(cpu, exit);
    else take_element(cpu, exit);
    return 0;
  }
  for (;;) {
    int result = call(cpu->descriptor, KVM_RUN, NULL);
    if (result == -EINTR) {
      take_kick(cpu, exit);
      return 0;
    }
    // A CPU that waits to be started by another says so each time that something wakes it.
    if (result == -EAGAIN) continue;
    if (result < 0) return result;
    if (cpu->run->exit_reason == KVM_EXIT_INTR || cpu->run->exit_reason == KVM_EXIT_IRQ_WINDOW_OPEN)
      continue;
    take_exit(cpu, exit);
    return 0;
  }
}

int ckvm_run(ckvm_cpu *cpu, struct ckvm_exit *exit) {
  if (__atomic_exchange_n(&cpu->is_busy, true, __ATOMIC_ACQUIRE)) return -EBUSY;
  int result = run(cpu, exit);
  __atomic_store_n(&cpu->is_busy, false, __ATOMIC_RELEASE);
  return result;
}

void ckvm_complete(ckvm_cpu *cpu, uint64_t value) {
  if (cpu->answer_byte_count > 0) memcpy(cpu->answer, &value, cpu->answer_byte_count);
}

int ckvm_kick_signal(void) { return SIGRTMIN; }

void ckvm_kick(ckvm_cpu *cpu) {
  // The kernel looks at the wish when KVM_RUN begins; after that the signal ends it.
  __atomic_store_n(&cpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
  pid_t thread = __atomic_load_n(&cpu->thread, __ATOMIC_SEQ_CST);
  // A thread that has ended is not found; one that got its number since gets a signal that does nothing.
  if (thread != 0) tgkill(getpid(), thread, ckvm_kick_signal());
}

static void do_nothing(int signal) { (void)signal; }

int ckvm_prepare_kicks(void) {
  struct sigaction current;
  if (sigaction(ckvm_kick_signal(), NULL, &current) < 0) return -errno;
  bool is_default = !(current.sa_flags & SA_SIGINFO)
    && (current.sa_handler == SIG_DFL || current.sa_handler == SIG_IGN);
  if (!is_default) return 0;
  // Without SA_RESTART, so that a CPU thread's wait for a device ends as well.
  struct sigaction action = { .sa_handler = do_nothing };
  sigemptyset(&action.sa_mask);
  return sigaction(ckvm_kick_signal(), &action, NULL) < 0 ? -errno : 0;
}

#endif
