/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mpqemu: one program, several roles.  The role is the name under which it is called (argv[0], as
 * a symlink to it), or the first argument.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "applets/applet.h"

#define PREFIX "mpqemu-"

struct applet {
	const char *name;		/* without the prefix */
	int (*main)(int argc, char **argv);
	const char *summary;		/* NULL: not for people */
	bool open;			/* names that go on after this one are meant too */
};

/* Those for people come first. */
static const struct applet applets[] = {
	{ "orchestrate", orchestrate_main, "launch QEMU with its devices in other processes" },
	{ "proxy", proxy_main, "look into and use a remote device without a VM" },
	{ "remote", remote_main, "emulate PCI devices in a process of their own" },
	{ "qemu-system-x86_64", emulator_main, "stand in QEMU's place (libvirt's <emulator>)" },
	{ "qemu-system-", emulator_main, NULL, true },
	{ "qemu-kvm", emulator_main, NULL },
	{ "kvm", emulator_main, NULL },
	{ "device", device_applet_main, NULL },
};

#define APPLET_COUNT (sizeof(applets) / sizeof(applets[0]))

/* @name with or without the prefix; NULL when there is no such role. */
static const struct applet *applet_find(const char *name)
{
	if (!strncmp(name, PREFIX, strlen(PREFIX)))
		name += strlen(PREFIX);
	for (size_t i = 0; i < APPLET_COUNT; i++)
		if (applets[i].open ? !strncmp(applets[i].name, name, strlen(applets[i].name)) :
				      !strcmp(applets[i].name, name))
			return &applets[i];
	return NULL;
}

static int usage(FILE *out, int status)
{
	fprintf(out, "usage: mpqemu APPLET [ARGUMENTS]\n"
		"       mpqemu --list | --install [-s] DIRECTORY | --completion bash|zsh|fish\n"
		"       mpqemu --help | --version\n\n"
		"Applets, also called by their own names (mpqemu-NAME):\n");
	for (size_t i = 0; i < APPLET_COUNT && applets[i].summary; i++)
		fprintf(out, "  %-18s %s\n", applets[i].name, applets[i].summary);
	return status;
}

static int list_main(int argc, char **argv)
{
	/* QEMU's name is linked like the others, but answers for QEMU. */
	for (size_t i = 0; i < APPLET_COUNT && applets[i].summary; i++)
		if (applets[i].main != emulator_main)
			printf(PREFIX "%s\n", applets[i].name);
	return 0;
}

static int install_applets(int argc, char **argv)
{
	const char *names[APPLET_COUNT + 1] = { NULL };

	for (size_t i = 0; i < APPLET_COUNT && applets[i].summary; i++)
		names[i] = applets[i].name;
	return install_main(argc, argv, PREFIX, names);
}

static int help_main(int argc, char **argv)
{
	return usage(stdout, 0);
}

static int version_main(int argc, char **argv)
{
	printf("mpqemu version %s\n", MPQEMU_VERSION);
	return 0;
}

/* What is the program's own, not a role's. */
static const struct applet own_options[] = {
	{ "--list", list_main, NULL },
	{ "--install", install_applets, NULL },
	{ "--completion", completion_main, NULL },
	{ "--help", help_main, NULL },
	{ "--version", version_main, NULL },
};

int main(int argc, char **argv)
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	const struct applet *applet = argc ? applet_find(slash ? slash + 1 : argv[0]) : NULL;

	if (applet)
		return applet->main(argc, argv);
	if (argc < 2)
		return usage(stderr, 1);
	applet = applet_find(argv[1]);
	if (applet)
		return applet->main(argc - 1, argv + 1);
	for (size_t i = 0; i < sizeof(own_options) / sizeof(own_options[0]); i++)
		if (!strcmp(argv[1], own_options[i].name))
			return own_options[i].main(argc - 1, argv + 1);
	fprintf(stderr, "mpqemu: %s: no such applet\n", argv[1]);
	return usage(stderr, 1);
}
