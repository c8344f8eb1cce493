/* A plugin for qemu-aarch64: how many instructions the emulated program executed, on standard output when it ends.
 *
 * Each block of translated code counts its instructions when it begins. The declarations are those of QEMU's
 * qemu-plugin.h, API version 1, which Debian does not package. */

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct block;
enum { ADD = 0 }; /* QEMU_PLUGIN_INLINE_ADD_U64 */
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*call)(uint64_t id, struct block *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct block *, int operation, void *counter, uint64_t amount);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*call)(uint64_t id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct block *);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;
static uint64_t executed;

static void translated(uint64_t id, struct block *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD, &executed, qemu_plugin_tb_n_insns(block));
}

static void at_exit(uint64_t id, void *unused)
{
    (void)id, (void)unused;
    printf("\ninstructions %" PRIu64 "\n", executed);
    fflush(stdout);
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int count, char **arguments)
{
    (void)info, (void)count, (void)arguments;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
