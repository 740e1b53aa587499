/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands that the storage daemons' own monitors carry out: jobs, bitmaps, nodes.
 *
 * Each daemon has a disk with all that is below it, and clients see one list of nodes and jobs.  So
 * a command is held against what the daemons have, which is asked each time (the facts): the one
 * that has the nodes and the job which it names gets it.  A node that was added and is in no daemon
 * yet is added to that one first.
 *
 *	waiting ---> facts ---> nodes that are missing, one by one ---> the command ---> answered
 *
 * One is carried out at a time.  What has not been answered in time is answered with an error; the
 * daemon counts as gone until it has answered all the same.
 */
#include <string.h>

#include "applets/remote/images.h"
#include "applets/remote/monitor-priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "plan/image.h"
#include "plan/spec.h"
#include "qmp/client.h"
#include "sandbox/level.h"

#define GENERIC "GenericError"
#define RELAY_LIMIT 30000	/* ms */

enum fact { FACT_EXPORTS, FACT_NODES, FACT_JOBS, FACT_BLOCK_JOBS, FACTS };

static const char *const questions[FACTS] = {
	[FACT_EXPORTS] = "query-block-exports", [FACT_NODES] = "query-named-block-nodes",
	[FACT_JOBS] = "query-jobs", [FACT_BLOCK_JOBS] = "query-block-jobs",
};

#define PLACES (1u << FACT_EXPORTS | 1u << FACT_NODES)
#define JOBS (1u << FACT_JOBS)

struct relay;

struct rule {
	const char *name;
	unsigned facts;			/* bits of enum fact: what has to be known */
	void (*go)(struct relay *r);	/* once it is */
	/* NULL: the arguments can be had; or why not, which the caller frees */
	char *(*obstacle)(const json_t *args);
	const char *job;		/* the argument that names a job, or NULL */
	void (*done)(struct relay *r);	/* it was carried out; or NULL */
	bool adds;			/* a node: what it stands on has to be there */
};

/* A question to a daemon, or (@what FACTS) a command. */
struct ask {
	struct relay *relay;
	unsigned disk, what;
	bool waiting;
};

struct relay {
	struct monitor *m;
	struct qmp_call *call;		/* NULL: answered */
	const struct rule *rule;
	json_t *args;			/* owned */
	bool started;
	int64_t deadline;		/* ms of clock_ms() */
	unsigned open;			/* answers that are to come */
	struct ask ask[FACTS + 1][SPEC_MAX_DISKS];
	json_t *fact[FACTS][SPEC_MAX_DISKS];	/* arrays, owned; NULL: there is none */
	int disk;			/* whose daemon gets it; -1: not known yet */
	GPtrArray *missing;		/* char *: nodes that it gets before */
	GPtrArray *seen;		/* struct monitor_node: those looked at for that */
	char *error;			/* why it gets nothing; owned */
	/* that was sent; either @value or @failure */
	void (*answered)(struct relay *r, const json_t *value, const struct qmp_failure *failure);
};

/* ---- Its life ---- */

static void relay_free(struct relay *r)
{
	for (unsigned f = 0; f < FACTS; f++)
		for (unsigned i = 0; i < SPEC_MAX_DISKS; i++)
			json_decref(r->fact[f][i]);
	json_decref(r->args);
	g_ptr_array_unref(r->missing);
	g_ptr_array_unref(r->seen);
	g_free(r->error);
	g_free(r);
}

/* Its call has been answered.  Whom it still waits for is asked nothing else meanwhile. */
static void retire(struct relay *r)
{
	struct monitor *m = r->m;

	r->call = NULL;
	g_queue_remove(&m->relays, r);
	if (!r->open) {
		relay_free(r);
		return;
	}
	for (unsigned f = 0; f <= FACTS; f++)
		for (unsigned i = 0; i < SPEC_MAX_DISKS; i++)
			m->daemon[i].owed += r->ask[f][i].waiting;
	g_queue_push_tail(&m->late, r);
}

/* @value is taken over. */
static void reply(struct relay *r, json_t *value)
{
	qmp_reply(r->call, value);
	retire(r);
}

static void refuse(struct relay *r, const char *class, const char *text)
{
	qmp_refuse(r->call, class, "%s", text);
	retire(r);
}

static void set_error(struct relay *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The first one counts. */
static void set_error(struct relay *r, const char *fmt, ...)
{
	va_list ap;

	if (r->error)
		return;
	va_start(ap, fmt);
	r->error = g_strdup_vprintf(fmt, ap);
	va_end(ap);
}

static void start(struct relay *r);

static void advance(struct monitor *m)
{
	struct relay *r;

	while ((r = g_queue_peek_head(&m->relays)) && !r->started)
		start(r);
}

/* What a disk stands on may have changed: a job has ended, an overlay was put above. */
static void learn_roots(struct relay *r)
{
	for (unsigned i = 0; i < r->m->plan->spec->disk_count; i++) {
		const json_t *export = json_array_get(r->fact[FACT_EXPORTS][i], 0);
		const char *name = json_string_value(json_object_get(export, "node-name"));
		struct plan_image *image = &r->m->plan->image[i];

		if (!name || strlen(name) > NODE_NAME_MAX || !g_strcmp0(name, image->node))
			continue;
		g_free(image->node);
		image->node = g_strdup(name);
	}
}

static void on_fact(struct relay *r, const struct ask *ask, const json_t *value)
{
	json_t *entry;
	size_t i;

	if (json_is_array(value))
		r->fact[ask->what][ask->disk] = json_array();
	json_array_foreach(value, i, entry)
		if (json_is_object(entry))
			json_array_append(r->fact[ask->what][ask->disk], entry);
	if (r->open)
		return;
	learn_roots(r);
	r->rule->go(r);
}

static void on_answer(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct ask *ask = opaque;
	struct relay *r = ask->relay;
	struct monitor *m = r->m;

	ask->waiting = false;
	r->open--;
	if (!r->call) {
		m->daemon[ask->disk].owed--;
		if (!r->open) {
			g_queue_remove(&m->late, r);
			relay_free(r);
		}
		return;
	}
	if (ask->what < FACTS)
		on_fact(r, ask, value);
	else
		r->answered(r, value, failure);
	advance(m);
}

/* @args is taken over.  False: the daemon cannot be asked. */
static bool ask(struct relay *r, unsigned disk, unsigned what, const char *name, json_t *args)
{
	struct ask *a = &r->ask[what][disk];

	*a = (struct ask){ .relay = r, .disk = disk, .what = what, .waiting = true };
	if (qmp_client_execute(r->m->daemon[disk].client, name, args, -1, 0, on_answer, a)) {
		a->waiting = false;
		return false;
	}
	r->open++;
	return true;
}

static void start(struct relay *r)
{
	r->started = true;
	r->deadline = clock_ms() + RELAY_LIMIT;
	for (unsigned i = 0; i < SPEC_MAX_DISKS; i++)
		for (unsigned f = 0; f < FACTS && monitor_daemon_live(r->m, i); f++)
			if (r->rule->facts & 1u << f)
				ask(r, i, f, questions[f], f == FACT_NODES ?
				    json_pack("{s:b}", "flat", 1) : NULL);
	if (!r->open)
		r->rule->go(r);
}

/* ---- Who has what ---- */

/* The entry of a list with that @key; NULL: there is none. */
static const json_t *find_entry(const json_t *list, const char *key, const char *name)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry)
		if (!g_strcmp0(json_string_value(json_object_get(entry, key)), name))
			return entry;
	return NULL;
}

/* The disk whose daemon has it; -1: none. */
static int find_fact(struct relay *r, enum fact fact, const char *key, const char *name)
{
	int found = -1;

	for (unsigned i = 0; i < SPEC_MAX_DISKS; i++) {
		if (!find_entry(r->fact[fact][i], key, name))
			continue;
		if (found >= 0)
			set_error(r, "'%s' is in more than one storage daemon", name);
		found = i;
	}
	return found;
}

/* The disk of that -drive, if a daemon serves it; -1. */
static int find_device(const struct monitor *m, const char *name)
{
	for (unsigned i = 0; i < m->plan->spec->disk_count && *name; i++)
		if (monitor_has_disk(m, i) && monitor_daemon_live(m, i) &&
		    !strcmp(monitor_device_name(m, i), name))
			return i;
	return -1;
}

/* Does a disk that has no daemon stand on it? */
static bool is_own(const struct monitor *m, const char *name)
{
	for (unsigned i = 0; i < m->plan->spec->disk_count && *name; i++)
		if (monitor_has_disk(m, i) && images_daemon(m->images, i) < 0 &&
		    (!g_strcmp0(m->plan->image[i].node, name) ||
		     !strcmp(monitor_device_name(m, i), name)))
			return true;
	return false;
}

/* ---- Where it goes ---- */

/* An argument that names a node.  The target of block-dirty-bitmap-merge is a bitmap. */
static bool is_reference(const json_t *args, const char *key)
{
	static const char *const keys[] = {
		"backing", "base-node", "data-file", "device", "file", "node", "node-name",
		"overlay", "replaces", "target", "top-node", NULL
	};

	return g_strv_contains(keys, key) &&
	       (strcmp(key, "target") || !json_object_get(args, "bitmaps"));
}

static void walk(struct relay *r, json_t *value);

static void choose(struct relay *r, int disk, const char *name)
{
	if (r->disk >= 0 && r->disk != disk)
		set_error(r, "'%s' is in the storage daemon of '%s', what else is named in that "
			  "of '%s': one daemon has to have all", name,
			  r->m->plan->spec->disk[disk].unit.id,
			  r->m->plan->spec->disk[r->disk].unit.id);
	r->disk = disk;
}

/* A node that no daemon has yet; and those that it stands on, before. */
static void miss(struct relay *r, struct monitor_node *node)
{
	json_t *options;

	if (g_ptr_array_find(r->seen, node, NULL))
		return;
	g_ptr_array_add(r->seen, node);
	options = json_loads(node->text, 0, NULL);
	json_object_del(options, "node-name");
	walk(r, options);
	json_decref(options);
	g_ptr_array_add(r->missing, g_strdup(node->name));
}

/* A name in the command: of a node, or of a -drive, which stands for the node below it. */
static void see(struct relay *r, json_t *object, const char *key)
{
	g_autofree char *name = g_strdup(json_string_value(json_object_get(object, key)));
	struct monitor_node *node = monitor_find_node(r->m, name);
	bool device_first = !strcmp(key, "device");
	int disk = device_first ? find_device(r->m, name) : -1, found = disk;

	if (found < 0)
		found = find_fact(r, FACT_NODES, "node-name", name);
	if (found < 0 && !device_first)
		found = disk = find_device(r->m, name);
	if (disk >= 0)
		json_object_set_new(object, key, json_string(r->m->plan->image[disk].node));
	if (found >= 0)
		choose(r, found, name);
	else if (is_own(r->m, name))
		set_error(r, "'%s' is a disk without a storage daemon, which raw ones do not "
			  "need", name);
	else if (node && node->daemon < 0)
		miss(r, node);
	else if (!node && r->rule->adds && strcmp(key, "node-name"))
		set_error(r, "Cannot find device='' nor node-name='%s'", name);
}

static void walk(struct relay *r, json_t *value)
{
	const char *key;
	json_t *member;
	void *next;
	size_t i;

	json_object_foreach_safe(value, next, key, member) {
		if (json_is_string(member) && is_reference(value, key))
			see(r, value, key);
		else
			walk(r, member);
	}
	json_array_foreach(value, i, member)
		walk(r, member);
}

/* As QEMU: the job of a -drive without a name has the drive's. */
static void name_job(struct relay *r, json_t *args)
{
	const json_t *device = json_object_get(args, "device");
	const char *id = json_string_value(json_object_get(args, "job-id"));
	int other;

	if (!id && json_is_string(device) && find_device(r->m, json_string_value(device)) >= 0) {
		id = json_string_value(device);
		json_object_set_new(args, "job-id", json_string(id));
	}
	other = id ? find_fact(r, FACT_JOBS, "id", id) : -1;
	if (other >= 0 && r->disk >= 0 && other != r->disk)
		set_error(r, "Job ID '%s' already in use", id);
}

/* Those of the command, or of its actions. */
static void name_jobs(struct relay *r)
{
	const json_t *action;
	size_t i;

	if (!(r->rule->facts & JOBS))
		return;
	name_job(r, r->args);
	json_array_foreach(json_object_get(r->args, "actions"), i, action)
		if (!g_strcmp0(json_string_value(json_object_get(action, "type")),
			       "blockdev-backup"))
			name_job(r, json_object_get(action, "data"));
}

static void find_job(struct relay *r)
{
	const char *id = json_string_value(json_object_get(r->args, r->rule->job));
	int disk = id ? find_fact(r, FACT_JOBS, "id", id) : -1;

	if (disk >= 0)
		r->disk = disk;
}

/* One that names nothing which a daemon has: QEMU's words for that are any daemon's. */
static void choose_any(struct relay *r)
{
	unsigned one, count = monitor_daemons_live(r->m, &one);

	if (!count)
		set_error(r, "no storage daemon is there for it: it is for disks of other formats "
			  "than raw");
	else if (count > 1 && r->missing->len)
		set_error(r, "'%s' is in no storage daemon yet, and there are several: use it with "
			  "a node of a disk first", (char *)r->missing->pdata[0]);
	else
		r->disk = one;
}

static void send(struct relay *r);

static void on_command(struct relay *r, const json_t *value, const struct qmp_failure *failure)
{
	const char *class = failure && failure->class && *failure->class ? failure->class : GENERIC;
	const char *hint = "";
	g_autofree char *text = NULL;

	if (!failure) {
		if (r->rule->done)
			r->rule->done(r);
		/* None of these commands has an answer. */
		reply(r, NULL);
		return;
	}
	if (!failure->class)
		hint = " (its storage daemon)";
	else if (g_str_has_prefix(failure->desc, "Could not open ") &&
		 r->m->plan->sandbox != SANDBOX_OFF)
		hint = " (a storage daemon has its own images, and what is in --storage-folder=)";
	text = g_strconcat(failure->desc, hint, NULL);
	refuse(r, class, text);
}

static void send_one(struct relay *r, const char *name, json_t *args)
{
	if (!ask(r, r->disk, FACTS, name, args))
		refuse(r, GENERIC, "its storage daemon is gone, or does not answer");
}

static void on_placed(struct relay *r, const json_t *value, const struct qmp_failure *failure)
{
	struct monitor_node *node = monitor_find_node(r->m, r->missing->pdata[0]);

	if (failure) {
		on_command(r, NULL, failure);
		return;
	}
	if (node)
		node->daemon = r->disk;
	g_ptr_array_remove_index(r->missing, 0);
	send(r);
}

/* The next node that is missing; and then the command. */
static void send(struct relay *r)
{
	const struct monitor_node *node = NULL;

	if (r->missing->len)
		node = monitor_find_node(r->m, r->missing->pdata[0]);
	r->answered = node ? on_placed : on_command;
	if (node)
		send_one(r, "blockdev-add", json_loads(node->text, 0, NULL));
	else
		send_one(r, r->rule->name, json_incref(r->args));
}

static void route(struct relay *r)
{
	if (r->rule->job) {
		find_job(r);
	} else {
		/* before -drives are replaced by nodes, and once the daemon is known */
		name_jobs(r);
		walk(r, r->args);
		name_jobs(r);
	}
	if (r->disk < 0 && !r->error)
		choose_any(r);
	if (r->error)
		refuse(r, GENERIC, r->error);
	else
		send(r);
}

/* ---- Nodes ---- */

static void node_added(struct relay *r)
{
	const char *name = json_string_value(json_object_get(r->args, "node-name"));
	char *dump = json_dumps(r->args, JSON_COMPACT);
	struct monitor_node *node = monitor_add_node(r->m, name, g_strdup(dump));

	free(dump);
	node->daemon = r->disk;
	node->foreign = true;
}

static void node_deleted(struct relay *r)
{
	monitor_remove_node(r->m, json_string_value(json_object_get(r->args, "node-name")));
}

/* With several daemons it is not known yet which one will need it. */
static void add_node(struct relay *r)
{
	unsigned one;

	/* Another client's may have come while this one waited. */
	if (monitor_find_node(r->m, json_string_value(json_object_get(r->args, "node-name")))) {
		refuse(r, GENERIC, "Duplicate node name");
		return;
	}
	walk(r, r->args);
	if (!r->error && r->disk < 0 && monitor_daemons_live(r->m, &one) > 1) {
		node_added(r);
		reply(r, NULL);
		return;
	}
	if (!r->error && r->disk < 0)
		choose_any(r);
	if (r->error)
		refuse(r, GENERIC, r->error);
	else
		send(r);
}

/* ---- All daemons ---- */

static void on_each(struct relay *r, const json_t *value, const struct qmp_failure *failure)
{
	if (failure)
		set_error(r, "%s", failure->desc);
	if (r->open)
		return;
	if (r->error)
		refuse(r, GENERIC, r->error);
	else
		reply(r, NULL);
}

/* An object is in each: a -object of the command line is, too. */
static void tell_all(struct relay *r)
{
	r->answered = on_each;
	for (unsigned i = 0; i < SPEC_MAX_DISKS; i++)
		if (monitor_daemon_live(r->m, i))
			ask(r, i, FACTS, r->rule->name, json_incref(r->args));
	if (r->open)
		return;
	choose_any(r);
	refuse(r, GENERIC, r->error ?: "no storage daemon answers");
}

static void join(struct relay *r, enum fact fact)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < SPEC_MAX_DISKS; i++)
		if (r->fact[fact][i])
			json_array_extend(list, r->fact[fact][i]);
	reply(r, list);
}

static void join_jobs(struct relay *r)
{
	join(r, FACT_JOBS);
}

static void join_block_jobs(struct relay *r)
{
	join(r, FACT_BLOCK_JOBS);
}

static void tell_block(struct relay *r)
{
	monitor_reply_block(r->m, r->call, r->fact[FACT_NODES]);
	retire(r);
}

static void tell_nodes(struct relay *r)
{
	monitor_reply_nodes(r->m, r->call, r->fact[FACT_NODES]);
	retire(r);
}

/* ---- The commands ---- */

static const struct rule rules[] = {
	{ "block-commit", PLACES | JOBS, route },
	{ "block-stream", PLACES | JOBS, route },
	{ "blockdev-backup", PLACES | JOBS, route },
	{ "blockdev-mirror", PLACES | JOBS, route },
	{ "blockdev-create", PLACES | JOBS, route, monitor_create_obstacle },
	{ "blockdev-snapshot", PLACES, route },
	{ "blockdev-snapshot-internal-sync", PLACES, route },
	{ "blockdev-snapshot-delete-internal-sync", PLACES, route },
	{ "blockdev-reopen", PLACES, route, monitor_reopen_obstacle },
	{ "change-backing-file", PLACES, route },
	{ "block-set-write-threshold", PLACES, route },
	{ "block-dirty-bitmap-add", PLACES, route },
	{ "block-dirty-bitmap-clear", PLACES, route },
	{ "block-dirty-bitmap-disable", PLACES, route },
	{ "block-dirty-bitmap-enable", PLACES, route },
	{ "block-dirty-bitmap-merge", PLACES, route },
	{ "block-dirty-bitmap-remove", PLACES, route },
	{ "block-job-cancel", JOBS, route, .job = "device" },
	{ "block-job-complete", JOBS, route, .job = "device" },
	{ "block-job-dismiss", JOBS, route, .job = "id" },
	{ "block-job-finalize", JOBS, route, .job = "id" },
	{ "block-job-pause", JOBS, route, .job = "device" },
	{ "block-job-resume", JOBS, route, .job = "device" },
	{ "block-job-set-speed", JOBS, route, .job = "device" },
	{ "job-cancel", JOBS, route, .job = "id" },
	{ "job-complete", JOBS, route, .job = "id" },
	{ "job-dismiss", JOBS, route, .job = "id" },
	{ "job-finalize", JOBS, route, .job = "id" },
	{ "job-pause", JOBS, route, .job = "id" },
	{ "job-resume", JOBS, route, .job = "id" },
	{ "transaction", PLACES | JOBS, route, monitor_transaction_obstacle },
	{ "blockdev-add", PLACES, add_node, monitor_add_obstacle, .done = node_added,
	  .adds = true },
	{ "blockdev-del", PLACES, route, .done = node_deleted },
	{ "object-add", 0, tell_all, monitor_object_obstacle },
	{ "object-del", 0, tell_all },
	{ "qom-set", 0, tell_all, monitor_qom_obstacle },
	{ "query-jobs", JOBS, join_jobs },
	{ "query-block-jobs", 1u << FACT_BLOCK_JOBS, join_block_jobs },
	{ "query-block", PLACES, tell_block },
	{ "query-named-block-nodes", PLACES, tell_nodes },
};

static const struct rule *find_rule(const char *name)
{
	const struct rule *rule = rules;

	while (strcmp(rule->name, name))	/* who calls has it of the table of commands */
		rule++;
	return rule;
}

void monitor_relay(void *opaque, struct qmp_call *call, const json_t *args)
{
	const struct rule *rule = find_rule(qmp_call_name(call));
	g_autofree char *wrong = rule->obstacle ? rule->obstacle(args) : NULL;
	struct monitor *m = opaque;
	struct relay *r;

	if (wrong) {
		qmp_refuse(call, GENERIC, "%s", wrong);
		return;
	}
	r = g_new0(struct relay, 1);
	r->m = m;
	r->call = call;
	r->rule = rule;
	r->args = json_deep_copy(args);
	r->disk = -1;
	r->missing = g_ptr_array_new_with_free_func(g_free);
	r->seen = g_ptr_array_new();
	g_queue_push_tail(&m->relays, r);
	advance(m);
}

bool monitor_relay_wants(const struct monitor *m, const json_t *args)
{
	const json_t *member;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)args, key, member) {
		const struct monitor_node *node = json_is_string(member) &&
					    is_reference(args, key) ?
			monitor_find_node(m, json_string_value(member)) : NULL;

		if ((node && (node->daemon >= 0 || node->foreign)) ||
		    (json_is_object(member) && monitor_relay_wants(m, member)))
			return true;
	}
	return false;
}

/* ---- Time ---- */

int monitor_relay_wait(const struct monitor *m)
{
	const struct relay *r = g_queue_peek_head((GQueue *)(uintptr_t)&m->relays);
	int64_t left = r ? r->deadline - clock_ms() : 0;

	return !r ? -1 : left > 0 ? left : 0;
}

void monitor_relay_polled(struct monitor *m)
{
	struct relay *r = g_queue_peek_head(&m->relays);
	g_autofree char *text = NULL;

	if (!r || clock_ms() < r->deadline)
		return;
	text = g_strdup_printf("a storage daemon has not answered for %d s; the command may be "
			       "carried out all the same", RELAY_LIMIT / 1000);
	refuse(r, GENERIC, text);
	advance(m);
}

void monitor_relay_finish(struct monitor *m)
{
	struct relay *r;

	while ((r = g_queue_pop_head(&m->relays))) {
		qmp_refuse(r->call, GENERIC, "the process ends");
		relay_free(r);
	}
	while ((r = g_queue_pop_head(&m->late)))
		relay_free(r);
}
