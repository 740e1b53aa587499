/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_APPLET_H
#define APPLETS_APPLET_H

/*
 * The roles of the one program.  argv[0] is the name under which the applet was called, the rest
 * are its arguments; the return value is the exit status.
 */

/* mpqemu-orchestrate(1) */
int orchestrate_main(int argc, char **argv);
/* The same in QEMU's place: argv is QEMU's, argv[0] a name of it, "mpqemu-" in front or not. */
int emulator_main(int argc, char **argv);
/* mpqemu-proxy(1) */
int proxy_main(int argc, char **argv);
/* mpqemu-remote(1) */
int remote_main(int argc, char **argv);
/* The device process that mpqemu-remote executes; of no use by hand. */
int device_applet_main(int argc, char **argv);

/*
 * mpqemu --install [-s] DIRECTORY: hard links, or with -s symbolic ones, for each of @names (NULL
 * at the end) with @prefix, as busybox does.
 */
int install_main(int argc, char **argv, const char *prefix, const char *const *names);

/* mpqemu --completion bash|zsh|fish: prints a script for that shell. */
int completion_main(int argc, char **argv);

#endif
