/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "plan/props.h"
#include "plan/remoteopts.h"
#include "plan/topo/topo.h"

/* The handlers of the option table: each takes one option into the parse. */

bool remote_option_device(void *opaque, const struct option_use *use, GError **error)
{
	struct remote_parse *p = opaque;
	auto_opt_set set = opt_set_parse_use(use, &opt_syntax_device, error);
	const char *id;

	if (!set || !opt_get_id(set, &id, error))
		return false;
	g_ptr_array_add(p->in.devices, g_steal_pointer(&set));
	return true;
}

bool remote_option_object(void *opaque, const struct option_use *use, GError **error)
{
	struct remote_parse *p = opaque;
	auto_opt_set set = opt_set_parse_use(use, &opt_syntax_object, error);

	if (!set)
		return false;
	g_ptr_array_add(p->in.objects, g_steal_pointer(&set));
	return true;
}

static bool add_backend(struct remote_parse *p, const struct option_use *use,
			const struct opt_syntax *syntax, GPtrArray *to, GError **error)
{
	struct opt_set *set = opt_set_parse_use(use, syntax, error);
	struct backend *backend;

	if (!set)
		return false;
	backend = g_new0(struct backend, 1);
	backend->set = set;
	backend->image.fdset = -1;
	g_ptr_array_add(to, backend);
	return true;
}

bool remote_option_blockdev(void *opaque, const struct option_use *use, GError **error)
{
	struct remote_parse *p = opaque;

	return add_backend(p, use, &opt_syntax_blockdev, p->nodes, error);
}

bool remote_option_drive(void *opaque, const struct option_use *use, GError **error)
{
	struct remote_parse *p = opaque;

	return add_backend(p, use, &opt_syntax_drive, p->drives, error);
}

/* Fails at the first key of @set that is not in @known. */
static bool check_keys(const struct opt_set *set, const char *const *known, const char *fmt,
		       GError **error)
{
	for (size_t i = 0; i < set->count; i++) {
		g_autofree char *key = g_strndup(set->opt[i].key, 200);

		if (g_strv_contains(known, set->opt[i].key))
			continue;
		return opt_bad(set, error, "%s%s%s", fmt, key, *fmt == 'P' ? "' not found" : "'");
	}
	return true;
}

bool remote_option_machine(void *opaque, const struct option_use *use, GError **error)
{
	static const char *const known[] = { "type", "vfio-user", "auto-shutdown", "accel", NULL };
	struct remote_parse *p = opaque;
	auto_opt_set set = opt_set_parse_use(use, &opt_syntax_machine, error);
	bool auto_shutdown = p->plan->spec->auto_shutdown;
	const char *type;

	if (!set)
		return false;
	type = opt_get(set, "type");
	if (set->help && type && !strcmp(type, "help")) {
		p->machine_help = true;
		return true;
	}
	if (type && strcmp(type, "x-remote"))
		return opt_bad(set, error,
			       "unsupported machine type: mpqemu-remote has x-remote only");
	if (!check_keys(set, known, "Property 'x-remote-machine.", error) ||
	    !opt_get_bool(set, "vfio-user", &p->plan->vfio_user, error) ||
	    !opt_get_bool(set, "auto-shutdown", &auto_shutdown, error))
		return false;
	p->plan->spec->auto_shutdown = auto_shutdown;
	return true;
}

bool remote_option_name(void *opaque, const struct option_use *use, GError **error)
{
	static const char *const known[] = { "guest", "process", "debug-threads", NULL };
	struct remote_parse *p = opaque;
	auto_opt_set set = opt_set_parse_use(use, &opt_syntax_name, error);
	bool threads = false;

	if (!set || !check_keys(set, known, "Invalid parameter '", error) ||
	    !opt_get_bool(set, "debug-threads", &threads, error))
		return false;
	g_free(p->plan->name);
	g_free(p->plan->process);
	p->plan->name = g_strdup(opt_get(set, "guest"));
	p->plan->process = g_strdup(opt_get(set, "process"));
	return true;
}

bool remote_option_msg(void *opaque, const struct option_use *use, GError **error)
{
	static const char *const known[] = { "timestamp", "guest-name", NULL };
	struct remote_parse *p = opaque;
	auto_opt_set set = opt_set_parse_use(use, &opt_syntax_plain, error);

	return set && check_keys(set, known, "Invalid parameter '", error) &&
	       opt_get_bool(set, "timestamp", &p->plan->msg_timestamp, error) &&
	       opt_get_bool(set, "guest-name", &p->plan->msg_guest_name, error);
}

/* QEMU's own check of -add-fd; *ret is -1 when the key is absent. */
static bool get_fd_number(const struct opt_set *set, const char *key, int64_t *ret, GError **error)
{
	const char *text = opt_get(set, key);

	*ret = -1;
	if (!text)
		return true;
	if (!*text || text[strspn(text, "0123456789")] || strlen(text) > 9)
		return opt_bad(set, error, "Parameter '%s' expects a number", key);
	*ret = strtol(text, NULL, 10);
	return true;
}

static bool check_add_fd(const struct opt_set *set, int64_t fd, int64_t number, GError **error)
{
	int flags;

	if (fd < 0)
		return opt_bad(set, error, "fd option is required and must be non-negative");
	if (fd <= STDERR_FILENO)
		return opt_bad(set, error, "fd cannot be a standard I/O stream");
	/* those with close-on-exec are our own, not the caller's */
	flags = fcntl(fd, F_GETFD);
	if (flags < 0 || (flags & FD_CLOEXEC))
		return opt_bad(set, error, "fd is not valid or already in use");
	if (number < 0)
		return opt_bad(set, error, "set option is required and must be non-negative");
	return true;
}

bool remote_option_add_fd(void *opaque, const struct option_use *use, GError **error)
{
	static const char *const known[] = { "fd", "set", "opaque", NULL };
	struct remote_parse *p = opaque;
	auto_opt_set set = opt_set_parse_use(use, &opt_syntax_plain, error);
	struct remote_plan *plan = p->plan;
	int64_t fd, number;

	if (!set || !check_keys(set, known, "Invalid parameter '", error) ||
	    !get_fd_number(set, "fd", &fd, error) || !get_fd_number(set, "set", &number, error) ||
	    !check_add_fd(set, fd, number, error))
		return false;
	plan->fd = g_renew(struct plan_fd, plan->fd, plan->fd_count + 1);
	plan->fd[plan->fd_count++] = (struct plan_fd){
		.fd = fd, .set = number, .opaque = g_strdup(opt_get(set, "opaque")),
	};
	return true;
}

#define WATCHDOG_MAX 3600	/* seconds */

bool remote_option_watchdog(void *opaque, const struct option_use *use, GError **error)
{
	struct remote_parse *p = opaque;
	guint64 seconds;

	if (!g_ascii_string_to_unsigned(use->arg, 10, 1, WATCHDOG_MAX, &seconds, NULL))
		return option_fail(use, error, MPQ_ERROR_USAGE, "it takes seconds, 1 to %d",
				   WATCHDOG_MAX);
	p->plan->watchdog = seconds;
	return true;
}

bool remote_option_folder(void *opaque, const struct option_use *use, GError **error)
{
	struct remote_parse *p = opaque;

	if (access(use->arg, F_OK) < 0)
		return option_fail(use, error, MPQ_ERROR_USAGE, "%s", log_errname(errno));
	if (!p->plan->storage_folder)
		p->plan->storage_folder = g_ptr_array_new_with_free_func(g_free);
	g_ptr_array_add(p->plan->storage_folder, g_strdup(use->arg));
	return true;
}

static void add_global(struct remote_parse *p, const char *class_name, const char *property,
		       const char *value)
{
	g_autofree char *where = g_strconcat("can't apply global ", class_name, ".", property, "=",
					     value, NULL);
	struct global *global = g_new0(struct global, 1);

	global->class_name = g_strdup(class_name);
	global->set = opt_set_create(where);
	opt_put(global->set, "driver", class_name);	/* some errors name it */
	opt_put(global->set, property, value);
	g_ptr_array_add(p->in.globals, global);
}

/* "DRIVER.PROPERTY=VALUE", the value being all the rest, or driver=,property=,value=. */
bool remote_option_global(void *opaque, const struct option_use *use, GError **error)
{
	static const char *const known[] = { "driver", "property", "value", NULL };
	struct remote_parse *p = opaque;
	const char *dot = strpbrk(use->arg, ".="), *equals = strchr(use->arg, '=');
	auto_opt_set set = NULL;

	if (dot && *dot == '.' && dot > use->arg && equals && equals > dot + 1) {
		g_autofree char *class_name = g_strndup(use->arg, dot - use->arg);
		g_autofree char *property = g_strndup(dot + 1, equals - dot - 1);

		add_global(p, class_name, property, equals + 1);
		return true;
	}
	set = opt_set_parse_use(use, &opt_syntax_plain, error);
	if (!set || !check_keys(set, known, "Invalid parameter '", error))
		return false;
	for (size_t i = 0; known[i]; i++)
		if (!opt_find(set, known[i]))
			return opt_bad(set, error,
				       "options 'driver', 'property', and 'value' are required");
	add_global(p, opt_get(set, "driver"), opt_get(set, "property"), opt_get(set, "value"));
	return true;
}

bool remote_option_uuid(void *opaque, const struct option_use *use, GError **error)
{
	struct remote_parse *p = opaque;

	if (!g_uuid_string_is_valid(use->arg))
		return option_fail(use, error, MPQ_ERROR_USAGE,
				   "failed to parse UUID string: wrong format");
	g_free(p->plan->uuid);
	p->plan->uuid = g_strdup(use->arg);
	return true;
}

bool remote_option_string(void *opaque, const struct option_use *use, GError **error)
{
	struct remote_parse *p = opaque;
	char **to = (char **)(void *)((char *)p->plan + use->def->data);

	g_free(*to);
	*to = g_strdup(use->arg);
	return true;
}

bool remote_option_flag(void *opaque, const struct option_use *use, GError **error)
{
	struct remote_parse *p = opaque;

	*((bool *)(void *)((char *)p->plan + use->def->data)) = true;
	return true;
}

bool remote_option_choice(void *opaque, const struct option_use *use, GError **error)
{
	struct remote_parse *p = opaque;
	g_auto(GStrv) words = g_strsplit(use->def->args, "|", -1);

	for (uint8_t i = 0; words[i]; i++)
		if (!strcmp(words[i], use->arg)) {
			*((uint8_t *)p->plan + use->def->data) = i;
			return true;
		}
	return option_fail(use, error, MPQ_ERROR_USAGE, "it is one of %s", use->def->args);
}

/* -d: QEMU's names of what a device may log; all of them turn the one debug level on. */
bool remote_option_debug(void *opaque, const struct option_use *use, GError **error)
{
	static const char *const items[] = { "guest_errors", "unimp", "all", NULL };
	struct remote_parse *p = opaque;
	g_auto(GStrv) names = g_strsplit(use->arg, ",", -1);

	for (size_t i = 0; names[i]; i++)
		if (!g_strv_contains(items, names[i]))
			return option_fail(use, error, MPQ_ERROR_USAGE, "'%.100s' is not a log "
					   "item of mpqemu-remote (guest_errors, unimp, all)",
					   names[i]);
	p->plan->debug = true;
	return true;
}

bool remote_option_help(void *opaque, const struct option_use *use, GError **error)
{
	struct remote_parse *p = opaque;

	p->help = true;
	return true;
}

bool remote_option_version(void *opaque, const struct option_use *use, GError **error)
{
	struct remote_parse *p = opaque;

	p->version = true;
	return true;
}

bool remote_option_ignore(void *opaque, const struct option_use *use, GError **error)
{
	return true;
}

bool remote_option_sandbox(void *opaque, const struct option_use *use, GError **error)
{
	if (!strcmp(use->arg, "on") || g_str_has_prefix(use->arg, "on,"))
		return true;
	return remote_option_refuse(opaque, use, error);
}

/* There is nothing to display on or to talk to here, so "none" is what one gets. */
bool remote_option_none(void *opaque, const struct option_use *use, GError **error)
{
	if (!strcmp(use->arg, "none"))
		return true;
	return option_fail(use, error, MPQ_ERROR_REFUSED,
			   "not supported by mpqemu-remote (%s none is)", use->word);
}

bool remote_option_refuse(void *opaque, const struct option_use *use, GError **error)
{
	if (use->def->help)
		return option_fail(use, error, MPQ_ERROR_REFUSED,
				   "not supported by mpqemu-remote: %s", use->def->help);
	return option_fail(use, error, MPQ_ERROR_REFUSED, "not supported by mpqemu-remote");
}

static bool stray(void *opaque, const struct option_use *use, GError **error)
{
	return mpq_fail(error, MPQ_ERROR_REFUSED, "%.200s: a disk image without an option is not "
			"supported by mpqemu-remote; use -drive or -blockdev", use->arg);
}

/* ---- What is printed instead of a run ---- */

static void print(struct remote_plan *plan, char *text)
{
	plan->action = PLAN_PRINT;
	plan->output = text;
}

static bool print_driver(struct remote_plan *plan, const struct opt_set *set, GError **error)
{
	const char *name = opt_get(set, "driver");
	const struct driver *driver;

	if (!name || !strcmp(name, "help") || !strcmp(name, "?")) {
		print(plan, drivers_help());
		return true;
	}
	driver = driver_find(name);
	if (!driver)
		return opt_bad(set, error, "Device '%.100s' not found", name);
	print(plan, driver_help(driver));
	return true;
}

static const struct {
	const char *type, *help;
} objects_help[] = {
	{ "x-remote-object", "x-remote-object options:\n"
			     "  devid=<string>\n"
			     "  fd=<string>\n"
			     "  path=<string>\n"
			     "  server=<bool>\n" },
	{ "x-vfio-user-server", "x-vfio-user-server options:\n"
				"  device=<string>        - ID of a PCI device\n"
				"  socket=<SocketAddress> - type=unix,path=P or type=fd,str=N\n" },
};

static void print_object(struct remote_plan *plan, const struct opt_set *set)
{
	const char *type = opt_get(set, "qom-type");

	for (size_t i = 0; type && i < G_N_ELEMENTS(objects_help); i++)
		if (!strcmp(type, objects_help[i].type))
			print(plan, g_strdup(objects_help[i].help));
}

/* Sets plan->action to PLAN_PRINT if anything asks for it; QEMU looks in this order. */
static bool print_some(struct remote_parse *p, GError **error)
{
	if (p->help)
		print(p->plan, remote_help());
	else if (p->version)
		print(p->plan, g_strdup("mpqemu-remote version " MPQEMU_VERSION
					" (QEMU multi-process protocol)\n"));
	else if (p->machine_help)
		print(p->plan, g_strdup("Supported machines are:\n"
					"x-remote             remote PCI devices of a VM\n"));
	for (guint i = 0; i < p->in.devices->len && p->plan->action == PLAN_RUN; i++) {
		const struct opt_set *set = p->in.devices->pdata[i];

		if (set->help && !print_driver(p->plan, set, error))
			return false;
	}
	for (guint i = 0; i < p->in.objects->len && p->plan->action == PLAN_RUN; i++) {
		const struct opt_set *set = p->in.objects->pdata[i];

		if (set->help)
			print_object(p->plan, set);
	}
	return true;
}

/* ---- Drives and nodes ---- */

static bool check_backend(const struct remote_parse *p, const struct backend *backend,
			  GError **error)
{
	for (guint i = 0; i < p->in.backends->len; i++) {
		const struct backend *other = p->in.backends->pdata[i];

		if (!backend->id || !other->id || strcmp(backend->id, other->id))
			continue;
		if (backend->is_node)
			return opt_bad(backend->set, error, "Duplicate nodes with node-name='%s'",
				       backend->id);
		if (other->is_node)
			return opt_bad(backend->set, error,
				       "Device name '%s' conflicts with an existing node name",
				       backend->id);
		return opt_bad(backend->set, error, "Duplicate ID '%s' for drive", backend->id);
	}
	return true;
}

/* Is the last node sound, also if no disk uses it? */
static bool check_node(const struct remote_parse *p, GError **error)
{
	struct plan_image image;

	if (!node_image((struct backend *const *)p->in.backends->pdata, p->in.backends->len - 1,
			&image, error))
		return false;
	image_finish(&image);
	return true;
}

/* Moves all of @from to the backends, each understood. */
static bool read_backends(struct remote_parse *p, GPtrArray *from, bool nodes, GError **error)
{
	for (guint i = 0; i < from->len; i++) {
		struct backend *backend = from->pdata[i];

		if (!(nodes ? node_parse(backend, error) : drive_parse(backend, i, error)) ||
		    !check_backend(p, backend, error))
			return false;
		g_ptr_array_add(p->in.backends, backend);
		if (nodes && !check_node(p, error))
			return false;
	}
	return true;
}

static void warn_unused(struct remote_parse *p)
{
	for (guint i = 0; i < p->drives->len; i++) {
		const struct backend *drive = p->drives->pdata[i];

		if (!drive->used)
			g_ptr_array_add(p->plan->warnings, g_strconcat(drive->set->where,
					": no device uses it", NULL));
	}
}

/* ---- The whole ---- */

static void backend_destroy(void *opaque)
{
	struct backend *backend = opaque;

	image_finish(&backend->image);
	opt_set_destroy(backend->set);
	g_free(backend);
}

static void global_destroy(void *opaque)
{
	struct global *global = opaque;

	g_free(global->class_name);
	opt_set_destroy(global->set);
	g_free(global);
}

static void parse_init(struct remote_parse *p, struct remote_plan *plan)
{
	GDestroyNotify free_set = (GDestroyNotify)opt_set_destroy;

	*p = (struct remote_parse){
		.plan = plan,
		.in = {
			.devices = g_ptr_array_new_with_free_func(free_set),
			.objects = g_ptr_array_new_with_free_func(free_set),
			.backends = g_ptr_array_new(),
			.globals = g_ptr_array_new_with_free_func(global_destroy),
		},
		.nodes = g_ptr_array_new_with_free_func(backend_destroy),
		.drives = g_ptr_array_new_with_free_func(backend_destroy),
		.chardevs = g_ptr_array_new_with_free_func(chardev_destroy),
	};
}

static void parse_finish(struct remote_parse *p)
{
	g_ptr_array_unref(p->in.devices);
	g_ptr_array_unref(p->in.objects);
	g_ptr_array_unref(p->in.backends);
	g_ptr_array_unref(p->in.globals);
	g_ptr_array_unref(p->nodes);
	g_ptr_array_unref(p->drives);
	g_ptr_array_unref(p->chardevs);
}

static void plan_init(struct remote_plan *plan)
{
	*plan = (struct remote_plan){
		.spec = g_new0(struct launch_spec, 1),
		.object = g_ptr_array_new_with_free_func((GDestroyNotify)opt_set_destroy),
		.warnings = g_ptr_array_new_with_free_func(g_free),
	};
	plan->on_error = PLAN_ON_ERROR_ENOSPC_HOLD;
	plan->spec->magic = SPEC_MAGIC;
	plan->spec->version = SPEC_VERSION;
	plan->spec->size = sizeof(*plan->spec);
	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++)
		plan->peer[i].fd = -1;
	for (unsigned i = 0; i < SPEC_MAX_DISKS; i++)
		plan->image[i].fdset = -1;
}

/* --sandbox-report alone: of the device that most people have, with a disk. */
static bool add_sample(struct remote_parse *p, GError **error)
{
	static const char *const words[] = {
		"", "-device", "lsi53c895a,id=scsi0", "-drive",
		"if=none,id=disk0,driver=null-co,size=1M", "-device",
		"scsi-hd,drive=disk0,bus=scsi0.0",
	};

	if (!p->plan->sandbox_report || p->in.devices->len)
		return true;
	p->plan->sample = true;
	return option_run(remote_options, G_N_ELEMENTS(words), (char *const *)(uintptr_t)words, p,
			  stray, error);
}

/* Nobody could stop the VM: then the guest hears of the error. */
static bool topo_build_for(const struct collection *in, struct remote_plan *plan, GError **error)
{
	bool fallback = plan->on_error == PLAN_ON_ERROR_STOP && !plan->qmp;

	if (plan->watchdog && plan->on_crash == SPEC_ON_CRASH_FAIL)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--watchdog: nobody would take the place "
				"of a process that does not answer; add --on-crash=reset");
	if (fallback)
		plan->on_error = PLAN_ON_ERROR_REPORT;
	if (!topo_build(in, plan, error))
		return false;
	if (fallback && plan->spec->disk_count)
		g_ptr_array_add(plan->warnings,
				g_strdup("--on-error=stop: no QMP socket of the VM is known "
					 "(--qmp=); errors are reported to the guest"));
	return true;
}

bool remote_plan_parse(int argc, char **argv, struct remote_plan *ret, GError **error)
{
	struct remote_parse p;
	bool good;

	plan_init(ret);
	parse_init(&p, ret);
	good = option_run(remote_options, argc, argv, &p, stray, error) &&
	       print_some(&p, error) && add_sample(&p, error);
	if (good && ret->print_metrics && ret->action == PLAN_RUN)
		ret->action = PLAN_PRINT_METRICS;
	if (good && ret->action == PLAN_RUN) {
		good = read_backends(&p, p.nodes, true, error) &&
		       read_backends(&p, p.drives, false, error) &&
		       topo_build_for(&p.in, ret, error) && monitors_resolve(&p, error);
		if (good)
			warn_unused(&p);
	}
	parse_finish(&p);
	return good;
}

void remote_plan_finish(struct remote_plan *plan)
{
	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++) {
		g_free(plan->peer[i].name);
		g_free(plan->peer[i].id);
		g_free(plan->peer[i].where);
		g_free(plan->rom[i].path);
		g_free(plan->rom[i].where);
	}
	for (unsigned i = 0; i < SPEC_MAX_DISKS; i++)
		image_finish(&plan->image[i]);
	plan_monitors_finish(plan);
	for (size_t i = 0; i < plan->fd_count; i++)
		g_free(plan->fd[i].opaque);
	g_free(plan->fd);
	g_free(plan->output);
	g_free(plan->spec);
	g_free(plan->name);
	g_free(plan->process);
	g_free(plan->pidfile);
	g_free(plan->logfile);
	g_free(plan->uuid);
	g_free(plan->qmp);
	g_free(plan->events);
	g_free(plan->control);
	g_free(plan->trace);
	g_free(plan->metrics);
	g_free(plan->print_metrics);
	if (plan->object)
		g_ptr_array_unref(plan->object);
	if (plan->storage_folder)
		g_ptr_array_unref(plan->storage_folder);
	if (plan->warnings)
		g_ptr_array_unref(plan->warnings);
	*plan = (struct remote_plan){ 0 };
}

int remote_plan_fdset(const struct remote_plan *plan, int64_t set, bool writable)
{
	for (size_t i = 0; i < plan->fd_count; i++) {
		int mode;

		if (plan->fd[i].set != set)
			continue;
		mode = fcntl(plan->fd[i].fd, F_GETFL);
		if (mode < 0)
			continue;
		mode &= O_ACCMODE;
		if (mode == O_RDWR || (!writable && mode == O_RDONLY))
			return plan->fd[i].fd;
	}
	return -1;
}
