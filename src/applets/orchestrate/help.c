/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/help.h"

#include <stdio.h>

#include <glib.h>

#include "applets/orchestrate/orchestrate.h"

static const struct page {
	const char *verb, *form, *text;
} pages[] = {
	{ "start", "FILE",
	  "Runs the VM that the file describes: QEMU, and its devices in processes of\n"
	  "their own.  The file has the place of all options: mpqemu.conf(5).\n"
	  "\n"
	  "Exit status: QEMU's own (128+N when signal N killed it); 123 a remote failed;\n"
	  "125 the file is wrong, or cannot be run here; 126 a program cannot be run; 127\n"
	  "a program is not there.\n" },
	{ "check", "FILE",
	  "Makes all checks that a start of this file makes, and prints the command and\n"
	  "the file descriptors of each process.  Starts nothing.\n"
	  "\n"
	  "Exit status: 0 it can be started; 125 it cannot; 126, 127 its QEMU cannot be\n"
	  "run, or is not there.\n" },
	{ "import", "[OPTION...] -- QEMU QEMU-ARGS...",
	  "Prints a file that says the same as this command line, for start and check.  The\n"
	  "options are those of a start from the command line (" NAME " --help);\n"
	  "the file has them too.\n"
	  "\n"
	  "Exit status: 0, or 125 where the file cannot say it.\n" },
	{ "doctor", "",
	  "Prints a line for each of what a VM with remotes needs of its host: ok, less (it\n"
	  "works, with less) or BAD (a remote does not start as it is by default), and what\n"
	  "helps.  Changes nothing.\n"
	  "\n"
	  "Exit status: 0; 1 when a line is BAD.\n" },
};

bool help_print(const char *verb)
{
	for (size_t i = 0; verb && i < G_N_ELEMENTS(pages); i++) {
		if (g_strcmp0(pages[i].verb, verb))
			continue;
		printf("usage: " NAME " %s%s%s\n\n%s", verb, *pages[i].form ? " " : "",
		       pages[i].form, pages[i].text);
		return true;
	}
	return false;
}
