// SPDX-License-Identifier: MPL-2.0
// What code calls that was compiled with -fsanitize=thread: every access of memory, atomic or not. Linked in the place of
// ThreadSanitizer's runtime, so that each of them comes to the explorer with its order and its address.
#include "runtime.h"

/* The compiler declares none of these; here they are, as it calls them. */
void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_read1(void *address);
void __tsan_write1(void *address);
void __tsan_read2(void *address);
void __tsan_write2(void *address);
void __tsan_read4(void *address);
void __tsan_write4(void *address);
void __tsan_read8(void *address);
void __tsan_write8(void *address);
void __tsan_read16(void *address);
void __tsan_write16(void *address);
void __tsan_volatile_read1(void *address);
void __tsan_volatile_write1(void *address);
void __tsan_volatile_read2(void *address);
void __tsan_volatile_write2(void *address);
void __tsan_volatile_read4(void *address);
void __tsan_volatile_write4(void *address);
void __tsan_volatile_read8(void *address);
void __tsan_volatile_write8(void *address);
void __tsan_volatile_read16(void *address);
void __tsan_volatile_write16(void *address);
void __tsan_unaligned_read2(void *address);
void __tsan_unaligned_write2(void *address);
void __tsan_unaligned_read4(void *address);
void __tsan_unaligned_write4(void *address);
void __tsan_unaligned_read8(void *address);
void __tsan_unaligned_write8(void *address);
void __tsan_unaligned_read16(void *address);
void __tsan_unaligned_write16(void *address);
void __tsan_read_range(void *address, unsigned long size);
void __tsan_write_range(void *address, unsigned long size);
uint8_t __tsan_atomic8_load(const volatile uint8_t *object, int order);
void __tsan_atomic8_store(volatile uint8_t *object, uint8_t value, int order);
uint8_t __tsan_atomic8_exchange(volatile uint8_t *object, uint8_t operand, int order);
uint8_t __tsan_atomic8_fetch_add(volatile uint8_t *object, uint8_t operand, int order);
uint8_t __tsan_atomic8_fetch_sub(volatile uint8_t *object, uint8_t operand, int order);
uint8_t __tsan_atomic8_fetch_and(volatile uint8_t *object, uint8_t operand, int order);
uint8_t __tsan_atomic8_fetch_or(volatile uint8_t *object, uint8_t operand, int order);
uint8_t __tsan_atomic8_fetch_xor(volatile uint8_t *object, uint8_t operand, int order);
uint8_t __tsan_atomic8_fetch_nand(volatile uint8_t *object, uint8_t operand, int order);
int __tsan_atomic8_compare_exchange_strong(volatile uint8_t *object, uint8_t *expected,
                                           uint8_t value, int order, int failure_order);
int __tsan_atomic8_compare_exchange_weak(volatile uint8_t *object, uint8_t *expected, uint8_t value,
                                         int order, int failure_order);
uint8_t __tsan_atomic8_compare_exchange_val(volatile uint8_t *object, uint8_t expected,
                                            uint8_t value, int order, int failure_order);
uint16_t __tsan_atomic16_load(const volatile uint16_t *object, int order);
void __tsan_atomic16_store(volatile uint16_t *object, uint16_t value, int order);
uint16_t __tsan_atomic16_exchange(volatile uint16_t *object, uint16_t operand, int order);
uint16_t __tsan_atomic16_fetch_add(volatile uint16_t *object, uint16_t operand, int order);
uint16_t __tsan_atomic16_fetch_sub(volatile uint16_t *object, uint16_t operand, int order);
uint16_t __tsan_atomic16_fetch_and(volatile uint16_t *object, uint16_t operand, int order);
uint16_t __tsan_atomic16_fetch_or(volatile uint16_t *object, uint16_t operand, int order);
uint16_t __tsan_atomic16_fetch_xor(volatile uint16_t *object, uint16_t operand, int order);
uint16_t __tsan_atomic16_fetch_nand(volatile uint16_t *object, uint16_t operand, int order);
int __tsan_atomic16_compare_exchange_strong(volatile uint16_t *object, uint16_t *expected,
                                            uint16_t value, int order, int failure_order);
int __tsan_atomic16_compare_exchange_weak(volatile uint16_t *object, uint16_t *expected,
                                          uint16_t value, int order, int failure_order);
uint16_t __tsan_atomic16_compare_exchange_val(volatile uint16_t *object, uint16_t expected,
                                              uint16_t value, int order, int failure_order);
uint32_t __tsan_atomic32_load(const volatile uint32_t *object, int order);
void __tsan_atomic32_store(volatile uint32_t *object, uint32_t value, int order);
uint32_t __tsan_atomic32_exchange(volatile uint32_t *object, uint32_t operand, int order);
uint32_t __tsan_atomic32_fetch_add(volatile uint32_t *object, uint32_t operand, int order);
uint32_t __tsan_atomic32_fetch_sub(volatile uint32_t *object, uint32_t operand, int order);
uint32_t __tsan_atomic32_fetch_and(volatile uint32_t *object, uint32_t operand, int order);
uint32_t __tsan_atomic32_fetch_or(volatile uint32_t *object, uint32_t operand, int order);
uint32_t __tsan_atomic32_fetch_xor(volatile uint32_t *object, uint32_t operand, int order);
uint32_t __tsan_atomic32_fetch_nand(volatile uint32_t *object, uint32_t operand, int order);
int __tsan_atomic32_compare_exchange_strong(volatile uint32_t *object, uint32_t *expected,
                                            uint32_t value, int order, int failure_order);
int __tsan_atomic32_compare_exchange_weak(volatile uint32_t *object, uint32_t *expected,
                                          uint32_t value, int order, int failure_order);
uint32_t __tsan_atomic32_compare_exchange_val(volatile uint32_t *object, uint32_t expected,
                                              uint32_t value, int order, int failure_order);
uint64_t __tsan_atomic64_load(const volatile uint64_t *object, int order);
void __tsan_atomic64_store(volatile uint64_t *object, uint64_t value, int order);
uint64_t __tsan_atomic64_exchange(volatile uint64_t *object, uint64_t operand, int order);
uint64_t __tsan_atomic64_fetch_add(volatile uint64_t *object, uint64_t operand, int order);
uint64_t __tsan_atomic64_fetch_sub(volatile uint64_t *object, uint64_t operand, int order);
uint64_t __tsan_atomic64_fetch_and(volatile uint64_t *object, uint64_t operand, int order);
uint64_t __tsan_atomic64_fetch_or(volatile uint64_t *object, uint64_t operand, int order);
uint64_t __tsan_atomic64_fetch_xor(volatile uint64_t *object, uint64_t operand, int order);
uint64_t __tsan_atomic64_fetch_nand(volatile uint64_t *object, uint64_t operand, int order);
int __tsan_atomic64_compare_exchange_strong(volatile uint64_t *object, uint64_t *expected,
                                            uint64_t value, int order, int failure_order);
int __tsan_atomic64_compare_exchange_weak(volatile uint64_t *object, uint64_t *expected,
                                          uint64_t value, int order, int failure_order);
uint64_t __tsan_atomic64_compare_exchange_val(volatile uint64_t *object, uint64_t expected,
                                              uint64_t value, int order, int failure_order);
void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_signal_fence(int order);
void skua__atomic_point(const volatile void *object);

void
__tsan_init(void) {
}

void
__tsan_func_entry(void *caller) {
    (void)caller;
}

void
__tsan_func_exit(void) {
}

void
__tsan_read1(void *address) {
    explore__plain(address, 1, false, __builtin_return_address(0));
}

void
__tsan_write1(void *address) {
    explore__plain(address, 1, true, __builtin_return_address(0));
}

void
__tsan_read2(void *address) {
    explore__plain(address, 2, false, __builtin_return_address(0));
}

void
__tsan_write2(void *address) {
    explore__plain(address, 2, true, __builtin_return_address(0));
}

void
__tsan_read4(void *address) {
    explore__plain(address, 4, false, __builtin_return_address(0));
}

void
__tsan_write4(void *address) {
    explore__plain(address, 4, true, __builtin_return_address(0));
}

void
__tsan_read8(void *address) {
    explore__plain(address, 8, false, __builtin_return_address(0));
}

void
__tsan_write8(void *address) {
    explore__plain(address, 8, true, __builtin_return_address(0));
}

void
__tsan_read16(void *address) {
    explore__plain(address, 16, false, __builtin_return_address(0));
}

void
__tsan_write16(void *address) {
    explore__plain(address, 16, true, __builtin_return_address(0));
}

void
__tsan_volatile_read1(void *address) {
    explore__plain(address, 1, false, __builtin_return_address(0));
}

void
__tsan_volatile_write1(void *address) {
    explore__plain(address, 1, true, __builtin_return_address(0));
}

void
__tsan_volatile_read2(void *address) {
    explore__plain(address, 2, false, __builtin_return_address(0));
}

void
__tsan_volatile_write2(void *address) {
    explore__plain(address, 2, true, __builtin_return_address(0));
}

void
__tsan_volatile_read4(void *address) {
    explore__plain(address, 4, false, __builtin_return_address(0));
}

void
__tsan_volatile_write4(void *address) {
    explore__plain(address, 4, true, __builtin_return_address(0));
}

void
__tsan_volatile_read8(void *address) {
    explore__plain(address, 8, false, __builtin_return_address(0));
}

void
__tsan_volatile_write8(void *address) {
    explore__plain(address, 8, true, __builtin_return_address(0));
}

void
__tsan_volatile_read16(void *address) {
    explore__plain(address, 16, false, __builtin_return_address(0));
}

void
__tsan_volatile_write16(void *address) {
    explore__plain(address, 16, true, __builtin_return_address(0));
}

void
__tsan_unaligned_read2(void *address) {
    explore__plain(address, 2, false, __builtin_return_address(0));
}

void
__tsan_unaligned_write2(void *address) {
    explore__plain(address, 2, true, __builtin_return_address(0));
}

void
__tsan_unaligned_read4(void *address) {
    explore__plain(address, 4, false, __builtin_return_address(0));
}

void
__tsan_unaligned_write4(void *address) {
    explore__plain(address, 4, true, __builtin_return_address(0));
}

void
__tsan_unaligned_read8(void *address) {
    explore__plain(address, 8, false, __builtin_return_address(0));
}

void
__tsan_unaligned_write8(void *address) {
    explore__plain(address, 8, true, __builtin_return_address(0));
}

void
__tsan_unaligned_read16(void *address) {
    explore__plain(address, 16, false, __builtin_return_address(0));
}

void
__tsan_unaligned_write16(void *address) {
    explore__plain(address, 16, true, __builtin_return_address(0));
}

void
__tsan_read_range(void *address, unsigned long size) {
    explore__plain(address, size, false, __builtin_return_address(0));
}

void
__tsan_write_range(void *address, unsigned long size) {
    explore__plain(address, size, true, __builtin_return_address(0));
}

uint8_t
__tsan_atomic8_load(const volatile uint8_t *object, int order) {
    return (uint8_t)explore__load(object, 1, order, __builtin_return_address(0));
}

void
__tsan_atomic8_store(volatile uint8_t *object, uint8_t value, int order) {
    explore__store(object, 1, value, order, __builtin_return_address(0));
}

uint8_t
__tsan_atomic8_exchange(volatile uint8_t *object, uint8_t operand, int order) {
    return (uint8_t)explore__rmw(object, 1, RMW_EXCHANGE, operand, order,
                                 __builtin_return_address(0));
}

uint8_t
__tsan_atomic8_fetch_add(volatile uint8_t *object, uint8_t operand, int order) {
    return (uint8_t)explore__rmw(object, 1, RMW_ADD, operand, order, __builtin_return_address(0));
}

uint8_t
__tsan_atomic8_fetch_sub(volatile uint8_t *object, uint8_t operand, int order) {
    return (uint8_t)explore__rmw(object, 1, RMW_SUB, operand, order, __builtin_return_address(0));
}

uint8_t
__tsan_atomic8_fetch_and(volatile uint8_t *object, uint8_t operand, int order) {
    return (uint8_t)explore__rmw(object, 1, RMW_AND, operand, order, __builtin_return_address(0));
}

uint8_t
__tsan_atomic8_fetch_or(volatile uint8_t *object, uint8_t operand, int order) {
    return (uint8_t)explore__rmw(object, 1, RMW_OR, operand, order, __builtin_return_address(0));
}

uint8_t
__tsan_atomic8_fetch_xor(volatile uint8_t *object, uint8_t operand, int order) {
    return (uint8_t)explore__rmw(object, 1, RMW_XOR, operand, order, __builtin_return_address(0));
}

uint8_t
__tsan_atomic8_fetch_nand(volatile uint8_t *object, uint8_t operand, int order) {
    return (uint8_t)explore__rmw(object, 1, RMW_NAND, operand, order, __builtin_return_address(0));
}

int
__tsan_atomic8_compare_exchange_strong(volatile uint8_t *object, uint8_t *expected, uint8_t value,
                                       int order, int failure_order) {
    uint64_t seen = *expected;
    bool same =
        explore__cas(object, 1, &seen, value, order, failure_order, __builtin_return_address(0));
    *expected = (uint8_t)seen;
    return same;
}

int
__tsan_atomic8_compare_exchange_weak(volatile uint8_t *object, uint8_t *expected, uint8_t value,
                                     int order, int failure_order) {
    uint64_t seen = *expected;
    bool same =
        explore__cas(object, 1, &seen, value, order, failure_order, __builtin_return_address(0));
    *expected = (uint8_t)seen;
    return same;
}

uint8_t
__tsan_atomic8_compare_exchange_val(volatile uint8_t *object, uint8_t expected, uint8_t value,
                                    int order, int failure_order) {
    uint64_t seen = expected;
    (void)explore__cas(object, 1, &seen, value, order, failure_order, __builtin_return_address(0));
    return (uint8_t)seen;
}

uint16_t
__tsan_atomic16_load(const volatile uint16_t *object, int order) {
    return (uint16_t)explore__load(object, 2, order, __builtin_return_address(0));
}

void
__tsan_atomic16_store(volatile uint16_t *object, uint16_t value, int order) {
    explore__store(object, 2, value, order, __builtin_return_address(0));
}

uint16_t
__tsan_atomic16_exchange(volatile uint16_t *object, uint16_t operand, int order) {
    return (uint16_t)explore__rmw(object, 2, RMW_EXCHANGE, operand, order,
                                  __builtin_return_address(0));
}

uint16_t
__tsan_atomic16_fetch_add(volatile uint16_t *object, uint16_t operand, int order) {
    return (uint16_t)explore__rmw(object, 2, RMW_ADD, operand, order, __builtin_return_address(0));
}

uint16_t
__tsan_atomic16_fetch_sub(volatile uint16_t *object, uint16_t operand, int order) {
    return (uint16_t)explore__rmw(object, 2, RMW_SUB, operand, order, __builtin_return_address(0));
}

uint16_t
__tsan_atomic16_fetch_and(volatile uint16_t *object, uint16_t operand, int order) {
    return (uint16_t)explore__rmw(object, 2, RMW_AND, operand, order, __builtin_return_address(0));
}

uint16_t
__tsan_atomic16_fetch_or(volatile uint16_t *object, uint16_t operand, int order) {
    return (uint16_t)explore__rmw(object, 2, RMW_OR, operand, order, __builtin_return_address(0));
}

uint16_t
__tsan_atomic16_fetch_xor(volatile uint16_t *object, uint16_t operand, int order) {
    return (uint16_t)explore__rmw(object, 2, RMW_XOR, operand, order, __builtin_return_address(0));
}

uint16_t
__tsan_atomic16_fetch_nand(volatile uint16_t *object, uint16_t operand, int order) {
    return (uint16_t)explore__rmw(object, 2, RMW_NAND, operand, order, __builtin_return_address(0));
}

int
__tsan_atomic16_compare_exchange_strong(volatile uint16_t *object, uint16_t *expected,
                                        uint16_t value, int order, int failure_order) {
    uint64_t seen = *expected;
    bool same =
        explore__cas(object, 2, &seen, value, order, failure_order, __builtin_return_address(0));
    *expected = (uint16_t)seen;
    return same;
}

int
__tsan_atomic16_compare_exchange_weak(volatile uint16_t *object, uint16_t *expected, uint16_t value,
                                      int order, int failure_order) {
    uint64_t seen = *expected;
    bool same =
        explore__cas(object, 2, &seen, value, order, failure_order, __builtin_return_address(0));
    *expected = (uint16_t)seen;
    return same;
}

uint16_t
__tsan_atomic16_compare_exchange_val(volatile uint16_t *object, uint16_t expected, uint16_t value,
                                     int order, int failure_order) {
    uint64_t seen = expected;
    (void)explore__cas(object, 2, &seen, value, order, failure_order, __builtin_return_address(0));
    return (uint16_t)seen;
}

uint32_t
__tsan_atomic32_load(const volatile uint32_t *object, int order) {
    return (uint32_t)explore__load(object, 4, order, __builtin_return_address(0));
}

void
__tsan_atomic32_store(volatile uint32_t *object, uint32_t value, int order) {
    explore__store(object, 4, value, order, __builtin_return_address(0));
}

uint32_t
__tsan_atomic32_exchange(volatile uint32_t *object, uint32_t operand, int order) {
    return (uint32_t)explore__rmw(object, 4, RMW_EXCHANGE, operand, order,
                                  __builtin_return_address(0));
}

uint32_t
__tsan_atomic32_fetch_add(volatile uint32_t *object, uint32_t operand, int order) {
    return (uint32_t)explore__rmw(object, 4, RMW_ADD, operand, order, __builtin_return_address(0));
}

uint32_t
__tsan_atomic32_fetch_sub(volatile uint32_t *object, uint32_t operand, int order) {
    return (uint32_t)explore__rmw(object, 4, RMW_SUB, operand, order, __builtin_return_address(0));
}

uint32_t
__tsan_atomic32_fetch_and(volatile uint32_t *object, uint32_t operand, int order) {
    return (uint32_t)explore__rmw(object, 4, RMW_AND, operand, order, __builtin_return_address(0));
}

uint32_t
__tsan_atomic32_fetch_or(volatile uint32_t *object, uint32_t operand, int order) {
    return (uint32_t)explore__rmw(object, 4, RMW_OR, operand, order, __builtin_return_address(0));
}

uint32_t
__tsan_atomic32_fetch_xor(volatile uint32_t *object, uint32_t operand, int order) {
    return (uint32_t)explore__rmw(object, 4, RMW_XOR, operand, order, __builtin_return_address(0));
}

uint32_t
__tsan_atomic32_fetch_nand(volatile uint32_t *object, uint32_t operand, int order) {
    return (uint32_t)explore__rmw(object, 4, RMW_NAND, operand, order, __builtin_return_address(0));
}

int
__tsan_atomic32_compare_exchange_strong(volatile uint32_t *object, uint32_t *expected,
                                        uint32_t value, int order, int failure_order) {
    uint64_t seen = *expected;
    bool same =
        explore__cas(object, 4, &seen, value, order, failure_order, __builtin_return_address(0));
    *expected = (uint32_t)seen;
    return same;
}

int
__tsan_atomic32_compare_exchange_weak(volatile uint32_t *object, uint32_t *expected, uint32_t value,
                                      int order, int failure_order) {
    uint64_t seen = *expected;
    bool same =
        explore__cas(object, 4, &seen, value, order, failure_order, __builtin_return_address(0));
    *expected = (uint32_t)seen;
    return same;
}

uint32_t
__tsan_atomic32_compare_exchange_val(volatile uint32_t *object, uint32_t expected, uint32_t value,
                                     int order, int failure_order) {
    uint64_t seen = expected;
    (void)explore__cas(object, 4, &seen, value, order, failure_order, __builtin_return_address(0));
    return (uint32_t)seen;
}

uint64_t
__tsan_atomic64_load(const volatile uint64_t *object, int order) {
    return explore__load(object, 8, order, __builtin_return_address(0));
}

void
__tsan_atomic64_store(volatile uint64_t *object, uint64_t value, int order) {
    explore__store(object, 8, value, order, __builtin_return_address(0));
}

uint64_t
__tsan_atomic64_exchange(volatile uint64_t *object, uint64_t operand, int order) {
    return explore__rmw(object, 8, RMW_EXCHANGE, operand, order, __builtin_return_address(0));
}

uint64_t
__tsan_atomic64_fetch_add(volatile uint64_t *object, uint64_t operand, int order) {
    return explore__rmw(object, 8, RMW_ADD, operand, order, __builtin_return_address(0));
}

uint64_t
__tsan_atomic64_fetch_sub(volatile uint64_t *object, uint64_t operand, int order) {
    return explore__rmw(object, 8, RMW_SUB, operand, order, __builtin_return_address(0));
}

uint64_t
__tsan_atomic64_fetch_and(volatile uint64_t *object, uint64_t operand, int order) {
    return explore__rmw(object, 8, RMW_AND, operand, order, __builtin_return_address(0));
}

uint64_t
__tsan_atomic64_fetch_or(volatile uint64_t *object, uint64_t operand, int order) {
    return explore__rmw(object, 8, RMW_OR, operand, order, __builtin_return_address(0));
}

uint64_t
__tsan_atomic64_fetch_xor(volatile uint64_t *object, uint64_t operand, int order) {
    return explore__rmw(object, 8, RMW_XOR, operand, order, __builtin_return_address(0));
}

uint64_t
__tsan_atomic64_fetch_nand(volatile uint64_t *object, uint64_t operand, int order) {
    return explore__rmw(object, 8, RMW_NAND, operand, order, __builtin_return_address(0));
}

int
__tsan_atomic64_compare_exchange_strong(volatile uint64_t *object, uint64_t *expected,
                                        uint64_t value, int order, int failure_order) {
    uint64_t seen = *expected;
    bool same =
        explore__cas(object, 8, &seen, value, order, failure_order, __builtin_return_address(0));
    *expected = seen;
    return same;
}

int
__tsan_atomic64_compare_exchange_weak(volatile uint64_t *object, uint64_t *expected, uint64_t value,
                                      int order, int failure_order) {
    uint64_t seen = *expected;
    bool same =
        explore__cas(object, 8, &seen, value, order, failure_order, __builtin_return_address(0));
    *expected = seen;
    return same;
}

uint64_t
__tsan_atomic64_compare_exchange_val(volatile uint64_t *object, uint64_t expected, uint64_t value,
                                     int order, int failure_order) {
    uint64_t seen = expected;
    (void)explore__cas(object, 8, &seen, value, order, failure_order, __builtin_return_address(0));
    return seen;
}

void
__tsan_atomic_thread_fence(int order) {
    explore__fence(order);
}

void
__tsan_atomic_signal_fence(int order) {
    (void)order;
}

void
skua__atomic_point(const volatile void *object) {
    if (!object) {
        explore__spins();
    }
}
