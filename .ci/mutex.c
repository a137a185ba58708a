// What Synchronization.Mutex does when it has to wait, where ThreadSanitizer can see it.
//
// The fast path is in our own code; the slow one is in the standard library, which is not sanitized,
// so that whoever waited for a lock would seem to have read without it. Linked before that library's
// own, by .ci/sanitize alone.
//
// The lock is a word: 0, or the id of the thread that has it, as futex(2) wants it for FUTEX_LOCK_PI.
// The kernel marks it when somebody waits in there; nobody does here.
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

__attribute__((swiftcall)) void lock_slowly(
    uint32_t thread, __attribute__((swift_context)) _Atomic(uint32_t) *word)
    __asm__("$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF");

__attribute__((swiftcall)) void lock_slowly(
    uint32_t thread, __attribute__((swift_context)) _Atomic(uint32_t) *word) {
    for (;;) {
        uint32_t nobody = 0;
        if (atomic_compare_exchange_weak_explicit(
                word, &nobody, thread, memory_order_acquire, memory_order_relaxed))
            return;
        sched_yield();
    }
}
