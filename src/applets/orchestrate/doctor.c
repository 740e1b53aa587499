/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "applets/orchestrate/probe.h"
#include "base/log.h"
#include "sandbox/landlock.h"

enum verdict { GOOD, LESS, BAD };

static const char *const verdicts[] = { "ok", "less", "BAD" };

/* Each row says in @said what it found; @fix: what helps, unless all is well. */
struct row {
	const char *name;
	enum verdict (*look)(GString *said);
	const char *fix;
};

/* What a child's body returned, or 128 + the signal that killed it: it has 2 seconds. */
static int in_child(int (*body)(void))
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		alarm(2);
		_exit(body());
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return EAGAIN;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- KVM ---- */

#ifdef __x86_64__

#define GUEST_PAGE 0x1000
#define GUEST_ANSWER 42

/* mov $42,%al; hlt */
static const unsigned char guest_code[] = { 0xb0, GUEST_ANSWER, 0xf4 };

/* Two instructions in real mode.  0: they ran; else an errno. */
static int run_guest(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	int vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0);
	void *ram = mmap(NULL, GUEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = GUEST_PAGE, .memory_size = GUEST_PAGE,
		.userspace_addr = (uintptr_t)ram,
	};
	struct kvm_regs regs = { .rip = GUEST_PAGE, .rflags = 2 };
	struct kvm_sregs sregs;

	if (vcpu < 0 || ram == MAP_FAILED)
		return errno;
	memcpy(ram, guest_code, sizeof(guest_code));
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ||
	    ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		return errno;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0 ||
	    ioctl(vcpu, KVM_RUN, 0) < 0 || ioctl(vcpu, KVM_GET_REGS, &regs) < 0)
		return errno;
	return regs.rip == GUEST_PAGE + sizeof(guest_code) && (regs.rax & 0xff) == GUEST_ANSWER ?
	       0 : EIO;
}

#endif

static enum verdict look_kvm(GString *said)
{
	struct probe probe;
	int ret = 0;

	probe_init(&probe, NULL);
	g_string_append_printf(said, "/dev/kvm: %s", probe.kvm_error ? probe.kvm_error : "");
	if (probe.kvm_error)
		ret = ENODEV;
	probe_finish(&probe);
	if (ret)
		return LESS;
#ifdef __x86_64__
	ret = in_child(run_guest);
	if (ret)
		g_string_append_printf(said, "opens, but a guest of two instructions does not run: "
				       "%s", ret > 128 ? "it hangs" : log_errname(ret));
	else
		g_string_append(said, "ran a guest of two instructions");
#else
	g_string_append(said, "opens");
#endif
	return ret ? LESS : GOOD;
}

/* ---- What shuts a remote in ---- */

static int make_namespaces(void)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
		       CLONE_NEWUTS | CLONE_NEWCGROUP) < 0 ? errno : 0;
}

static enum verdict look_namespaces(GString *said)
{
	int ret = in_child(make_namespaces);

	g_string_append(said, ret ? log_errname(ret) :
				    "user, mount, pid, network, IPC, UTS, cgroup");
	return ret ? BAD : GOOD;
}

static enum verdict look_landlock(GString *said)
{
	int abi = sandbox_landlock_abi();

	if (abi <= 0)
		g_string_append(said, "not in this kernel, or forbidden");
	else
		g_string_append_printf(said, "version %d", abi);
	return abi > 0 ? GOOD : LESS;
}

/* The first line of a file of the kernel's, or NULL; the caller frees. */
static char *line_of(const char *path)
{
	char *text = NULL;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return NULL;
	return g_strdelimit(g_strchomp(text), "\n", ' ');
}

static enum verdict look_filter(GString *said)
{
	g_autofree char *actions = line_of("/proc/sys/kernel/seccomp/actions_avail");

	g_string_append(said, actions ? "system-call filters can be loaded" : "not in this kernel");
	return actions ? GOOD : BAD;
}

/* ---- Resources ---- */

static enum verdict look_cgroups(GString *said)
{
	g_autofree char *unified = line_of("/sys/fs/cgroup/cgroup.controllers");
	g_autofree char *hybrid = line_of("/sys/fs/cgroup/unified/cgroup.controllers");

	if (unified)
		g_string_append_printf(said, "version 2: %s", unified);
	else if (hybrid)
		g_string_append_printf(said, "version 1 beside 2, which has: %s", hybrid);
	else
		g_string_append(said, "no version 2 at /sys/fs/cgroup");
	return unified && strstr(unified, "memory") ? GOOD : LESS;
}

static enum verdict look_memory(GString *said)
{
	g_autofree char *text = line_of("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
	bool huge = text && !strstr(text, "[never]") && !strstr(text, "[deny]");

	if (huge)
		g_string_append_printf(said, "memfd RAM may have huge pages: %s", text);
	else
		g_string_append(said, "memfd RAM has 4 KiB pages: 2 MiB of page tables a GiB for "
				"each process that maps it");
	return huge ? GOOD : LESS;
}

static int make_ring(void)
{
	/* No ring is made: with such arguments it fails, and how says whether there are any. */
	return syscall(SYS_io_uring_setup, 0, NULL) < 0 ? errno : 0;
}

static enum verdict look_ring(GString *said)
{
	int ret = in_child(make_ring);

	g_string_append_printf(said, "%s; remotes do without: its operations pass no filter",
			       ret == ENOSYS || ret == EPERM ? log_errname(ret) : "there is one");
	return GOOD;
}

/* ---- Programs ---- */

static enum verdict look_images(GString *said)
{
	static const char *const programs[] = { "qemu-storage-daemon", "qemu-img" };
	enum verdict ret = GOOD;

	if (!WITH_NBD) {
		g_string_append(said, "raw ones only: this mpqemu was built without libnbd");
		return LESS;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(programs); i++) {
		g_autofree char *path = g_find_program_in_path(programs[i]);

		g_string_append_printf(said, "%s%s%s", i ? ", " : "", path ? "" : "no ",
				       path ? path : programs[i]);
		if (!path)
			ret = LESS;
	}
	return ret;
}

/* What this QEMU can do; its verdict. */
static enum verdict look_one_qemu(const char *path, GString *said)
{
	g_autoptr(GError) error = NULL;
	struct probe probe;
	enum verdict ret = LESS;

	probe_init(&probe, NULL);
	if (!probe_qemu(&probe, path, &error)) {
		g_string_append_printf(said, "%s: %s", path, error->message);
	} else {
		const struct rewrite_facts *f = &probe.facts;

		g_string_append_printf(said, "%s: %u.%u, %s", path, f->qemu_major, f->qemu_minor,
				       f->has_vfio_user ? "vfio-user-pci: any number of vCPUs" :
				       f->has_proxy ? "x-pci-proxy-dev: one vCPU" :
				       "neither x-pci-proxy-dev nor vfio-user-pci");
		ret = f->has_vfio_user || f->has_proxy ? GOOD : LESS;
	}
	probe_finish(&probe);
	return ret;
}

static enum verdict look_qemu(GString *said)
{
	static const char *const names[] = {
		"qemu-system-x86_64", "qemu-kvm", "/usr/libexec/qemu-kvm",
	};
	enum verdict ret = LESS;

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = g_find_program_in_path(names[i]);

		if (!path)
			continue;
		if (said->len)
			g_string_append(said, "; ");
		if (look_one_qemu(path, said) == GOOD)
			ret = GOOD;
	}
	if (!said->len)
		g_string_append(said, "none in PATH");
	return ret;
}

/* ---- All ---- */

static const struct row rows[] = {
	{ "KVM", look_kvm, "load kvm_intel or kvm_amd, be in the group kvm; else -accel tcg, and "
	  "QEMU 10.1 for interrupts" },
	{ "namespaces", look_namespaces, "sysctl user.max_user_namespaces, the AppArmor profile; "
	  "in a container --sandbox=container" },
	{ "Landlock", look_landlock, "Linux 5.13 with landlock in lsm=; remotes do without at "
	  "--sandbox=strict" },
	{ "seccomp", look_filter, "a kernel with CONFIG_SECCOMP_FILTER" },
	{ "cgroups", look_cgroups, "systemd.unified_cgroup_hierarchy=1: limits of a VM's file need "
	  "version 2" },
	{ "huge pages", look_memory, "echo advise > "
	  "/sys/kernel/mm/transparent_hugepage/shmem_enabled" },
	{ "io_uring", look_ring, NULL },
	{ "images", look_images, "install qemu-utils and qemu-system-common, which formats but raw "
	  "need; a static mpqemu has raw alone" },
	{ "QEMU", look_qemu, "install qemu-system-x86; 10.1 or later for more than one vCPU" },
};

int doctor_run(void)
{
	int status = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GString) said = g_string_new(NULL);
		enum verdict verdict = rows[i].look(said);

		printf("%-5s %-11s %s\n", verdicts[verdict], rows[i].name, said->str);
		if (verdict != GOOD)
			printf("%-5s %-11s help: %s\n", "", "", rows[i].fix);
		if (verdict == BAD)
			status = 1;
	}
	if (fflush(stdout) || ferror(stdout)) {
		log_error("stdout: %s", log_errname(errno));
		return 1;
	}
	return status;
}
