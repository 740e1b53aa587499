/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/util.h"

#define TIMEOUT_MS 60000	/* guards hangs, decides nothing else */
#define PEER 9			/* the remote's number of its socket */
#define MESSAGE 0x20000u

/* ---- processes ---- */

static char *remote_program(void)
{
	const char *build = g_getenv("MPQEMU_BUILD");

	return g_build_filename(build ? build : "build", "mpqemu-remote", NULL);
}

/* MPQ_PROTOCOL says by which protocol the remote is driven. */
static enum client_protocol protocol(void)
{
	const char *name = g_getenv("MPQ_PROTOCOL");
	enum client_protocol ret = CLIENT_MPQEMU;

	if (name && !client_protocol_find(name, &ret))
		g_error("MPQ_PROTOCOL: there is no %s", name);
	return ret;
}

static GPtrArray *remote_argv(const char *drive, const char *tool)
{
	GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
	g_auto(GStrv) words = g_strsplit(tool ? tool : "", " ", -1);
	static const char *const rest[] = {
		"-machine", "x-remote,vfio-user=on", "-device", "lsi53c895a,id=l0",
		"-device", "scsi-hd,id=s0,drive=d0,bus=l0.0,scsi-id=0,dpofua=on",
		"-object",
	};
	static const char *const object[CLIENT_PROTOCOL_COUNT] = {
		"x-remote-object,id=r0,devid=l0,fd=" G_STRINGIFY(PEER),
		"x-vfio-user-server,id=r0,device=l0,type=fd,str=" G_STRINGIFY(PEER),
	};

	for (unsigned i = 0; words[i]; i++)
		if (*words[i])
			g_ptr_array_add(argv, g_strdup(words[i]));
	g_ptr_array_add(argv, remote_program());
	if (tool)	/* a call that strace makes fail is none that the filter knows */
		g_ptr_array_add(argv, g_strdup("--sandbox=off"));
	for (unsigned i = 0; i < G_N_ELEMENTS(rest); i++)
		g_ptr_array_add(argv, g_strdup(rest[i]));
	g_ptr_array_add(argv, g_strdup(object[protocol()]));
	g_ptr_array_add(argv, g_strdup("-drive"));
	g_ptr_array_add(argv, g_strdup_printf("id=d0,if=none,%s", drive));
	g_ptr_array_add(argv, NULL);
	return argv;
}

static void run_child(GPtrArray *argv, int socket, int log, bool traced)
{
	if (traced)	/* a leak check cannot run in a process that is traced */
		g_setenv("ASAN_OPTIONS", "exitcode=99:detect_leaks=0", true);
	must(dup2(log, STDOUT_FILENO));
	must(dup2(log, STDERR_FILENO));
	must(dup2(socket, PEER));
	execvp(argv->pdata[0], (char **)argv->pdata);
	_exit(127);
}

/* The first child of @pid, or 0. */
static pid_t child_of(pid_t pid)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/children", pid, pid);
	g_autofree char *text = NULL;

	return g_file_get_contents(path, &text, NULL, NULL) ? atoi(text) : 0;
}

/* The device process is the last of the line; the keeper is its parent. */
static void find_processes(struct host *h)
{
	h->keeper = h->device = h->child;
	for (pid_t next = child_of(h->device); next; next = child_of(next)) {
		h->keeper = h->device;
		h->device = next;
	}
	h->device_pidfd = must(pidfd_open(h->device, 0));
}

void host_start(struct host *h, const char *drive, const char *tool)
{
	GPtrArray *argv = remote_argv(drive, tool);
	int pair[2], ret;

	memset(h, 0, sizeof(*h));
	h->device_pidfd = -1;
	h->log = must(memfd_create("log", MFD_CLOEXEC));
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	h->child = must(fork());
	if (h->child == 0)
		run_child(argv, pair[1], h->log, tool);
	close(pair[1]);
	g_ptr_array_free(argv, true);
	ret = client_init(&h->client, protocol(), pair[0], RIG_RAM, TIMEOUT_MS);
	h->rig.ram = h->client.mem;
	if (ret || host_set_up(h)) {
		g_autofree char *log = host_log(h);

		g_error("the remote did not start: %s", log);
	}
	find_processes(h);
}

char *host_log(const struct host *h)
{
	off_t size = must(lseek(h->log, 0, SEEK_END));
	char *text = g_malloc0(size + 1);

	g_assert_cmpint(pread(h->log, text, size, 0), ==, size);
	return text;
}

void host_hang_up(struct host *h)
{
	client_finish(&h->client);
	h->rig.ram = NULL;
}

int host_wait(struct host *h)
{
	struct pollfd p = { .fd = h->device_pidfd, .events = POLLIN };
	int status;

	g_assert_cmpint(poll(&p, 1, TIMEOUT_MS), ==, 1);
	g_assert_cmpint(waitpid(h->child, &status, 0), ==, h->child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void host_finish(struct host *h)
{
	host_hang_up(h);
	close(h->device_pidfd);
	close(h->log);
}

/* ---- registers ---- */

int host_write(struct host *h, unsigned reg, unsigned size, uint32_t value)
{
	int ret = client_bar_write(&h->client, true, RIG_REGS + reg, size, value);

	if (ret == -ETIMEDOUT)
		g_error("no reply to a register write");
	return ret ? HOST_GONE : 0;
}

int host_read(struct host *h, unsigned reg, unsigned size, uint32_t *ret_value)
{
	uint64_t value;
	int ret = client_bar_read(&h->client, true, RIG_REGS + reg, size, &value);

	if (ret == -ETIMEDOUT)
		g_error("no reply to a register read");
	if (ret)
		return HOST_GONE;
	*ret_value = value;
	return 0;
}

static struct prog reselection(struct host *h)
{
	struct prog p = prog_at(&h->rig, RESEL_BASE);
	uint32_t untagged;

	put2(&p, S_WAIT_RESEL, 0);
	put2(&p, S_MOVE(PHASE_MSG_IN, 1), RESEL_BASE + 0x100);
	put2(&p, S_CLEAR(S_ACK), 0);
	untagged = put2(&p, S_NOT(S_JUMP) | S_WHEN(PHASE_MSG_IN), 0);
	put2(&p, S_MOVE(PHASE_MSG_IN, 2), RESEL_BASE + 0x104);
	put2(&p, S_CLEAR(S_ACK), 0);
	patch(&p, untagged, p.at);
	put2(&p, S_INT, INT_RESELECTED);
	return p;
}

int host_set_up(struct host *h)
{
	static const struct { uint32_t reg, value, size; } config[] = {
		{ PCI_BASE_ADDRESS_0, RIG_IO, 4 }, { PCI_BASE_ADDRESS_0 + 4, RIG_REGS, 4 },
		{ PCI_BASE_ADDRESS_0 + 8, RIG_SRAM, 4 },
		{ PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2 },
	};
	int ret = 0;

	for (unsigned i = 0; !ret && i < G_N_ELEMENTS(config); i++)
		ret = client_cfg_write(&h->client, config[i].reg, config[i].value, config[i].size);
	if (ret)
		return HOST_GONE;
	reselection(h);
	ret = host_write(h, R_SCID, 1, SCID_RRE | 7);
	return ret ? ret : host_write(h, R_DCNTL, 1, DCNTL_COM);
}

/* ---- scripts ---- */

/* Runs the script at @dsp up to its INT, and returns what that says; other interrupts fail. */
static int run_script(struct host *h, uint32_t dsp)
{
	int64_t end = g_get_monotonic_time() + TIMEOUT_MS * 1000LL;
	uint32_t istat = 0, dstat, dsps;

	if (host_write(h, R_DSP, 4, dsp))
		return HOST_GONE;
	while (!(istat & (ISTAT0_DIP | ISTAT0_SIP))) {
		if (host_read(h, R_ISTAT0, 1, &istat))
			return HOST_GONE;
		if (g_get_monotonic_time() > end)
			g_error("a script does not end");
	}
	if (istat & ISTAT0_SIP)
		g_error("an interrupt of the SCSI bus: ISTAT0 %02x", istat);
	if (host_read(h, R_DSTAT, 1, &dstat) || host_read(h, R_DSPS, 4, &dsps))
		return HOST_GONE;
	if (!(dstat & DSTAT_SIR))
		g_error("an interrupt of the script engine: DSTAT %02x", dstat);
	return dsps;
}

/* The command behind the reselection goes on. */
static int resume(struct host *h, host_ended_fn *ended, void *opaque)
{
	unsigned tag = h->rig.ram[RESEL_BASE + 0x105];
	uint32_t dispatch;
	int what;

	g_assert_cmpint(h->rig.ram[RESEL_BASE + 0x104], ==, 0x20);
	g_assert_cmpuint(tag, <, G_N_ELEMENTS(h->cmd));
	cmd_build(&h->rig, tag, &h->cmd[tag], &dispatch);
	what = run_script(h, dispatch);
	if (what == HOST_GONE)
		return what;
	g_assert_true(what == INT_DONE || what == INT_DISCONNECTED);
	if (what == INT_DONE)
		ended(opaque, tag, cmd_status(&h->rig, tag));
	return 0;
}

int host_command(struct host *h, unsigned tag, const struct cmd *cmd, host_ended_fn *ended,
		 void *opaque)
{
	int what;

	h->cmd[tag] = *cmd;
	h->cmd[tag].tag = tag;
	for (;;) {
		what = run_script(h, cmd_build(&h->rig, tag, &h->cmd[tag], NULL));
		if (what != INT_RESELECTED)
			break;
		/* A target was faster than our selection. */
		what = resume(h, ended, opaque);
		if (what)
			return what;
	}
	if (what == INT_DONE)
		ended(opaque, tag, cmd_status(&h->rig, tag));
	return what;
}

int host_go_on(struct host *h, host_ended_fn *ended, void *opaque)
{
	int what = run_script(h, RESEL_BASE);

	if (what == HOST_GONE)
		return what;
	g_assert_cmpint(what, ==, INT_RESELECTED);
	return resume(h, ended, opaque);
}

static void note_status(void *opaque, unsigned tag, uint8_t status)
{
	*(int *)opaque = status;
}

int host_do(struct host *h, const struct cmd *cmd)
{
	int status = -1, ret = host_command(h, 0, cmd, note_status, &status);

	while (status < 0 && ret != HOST_GONE)
		ret = host_go_on(h, note_status, &status);
	return status < 0 ? HOST_GONE : status;
}

int host_sense(struct host *h, const struct cmd *cmd)
{
	const struct cmd sense = { .cdb = { 0x03, 0, 0, 0, 18 }, .cdb_len = 6, .data_len = 18 };
	const uint8_t *data = h->rig.ram + CMD_DATA(0);
	int status = host_do(h, cmd);

	if (status == SCSI_GOOD || status == HOST_GONE)
		return status;
	g_assert_cmpint(status, ==, SCSI_CHECK_CONDITION);
	if (host_do(h, &sense) == HOST_GONE)
		return HOST_GONE;
	return (data[2] & 0xf) << 16 | data[12] << 8 | data[13];
}

int host_message(struct host *h, int tag, uint8_t message)
{
	struct prog p = prog_at(&h->rig, MESSAGE + 0x100);
	unsigned n = 0;
	int what;

	h->rig.ram[MESSAGE + n++] = 0xc0;
	if (tag >= 0) {
		h->rig.ram[MESSAGE + n++] = 0x20;
		h->rig.ram[MESSAGE + n++] = tag;
	}
	h->rig.ram[MESSAGE + n++] = message;
	put2(&p, S_SELECT_ATN(0), RESEL_BASE);
	put2(&p, S_REG_REG(R_SCNTL2, A_AND, 0x7f), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, n), MESSAGE);
	put2(&p, S_CLEAR(S_ACK | S_ATN), 0);
	put2(&p, S_WAIT_DISC, 0);
	put2(&p, S_INT, INT_DONE);
	what = run_script(h, p.start);
	g_assert_true(what == INT_DONE || what == HOST_GONE);
	return what == INT_DONE ? 0 : what;
}
