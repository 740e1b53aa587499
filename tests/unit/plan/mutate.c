/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command lines that were bent at random, the same ones in every run: each gets a plan or an
 * error, and what was planned can be written out.  Under ASan this has found what tables did not.
 */

#include <string.h>

#include <glib.h>

#include "lines.h"

#define RUNS 20000
#define SEED 2

static const char *const seeds[] = {
	"-machine x-remote -device lsi53c895a,id=l -drive id=d,file=X.qcow2,cache=none,aio=native "
	"-device scsi-hd,id=e,drive=d,bus=l.0,scsi-id=0 -object x-remote-object,id=r,devid=l,fd=4,",
	"-device '{\"driver\":\"lsi\",\"id\":\"l\"}' -object '{\"qom-type\":\"x-remote-object\","
	"\"id\":\"o\",\"devid\":\"l\",\"fd\":\"9\"}' -blockdev '{\"driver\":\"file\",\"node-name\":"
	"\"f\",\"filename\":\"/a\",\"cache\":{\"direct\":true}}' -blockdev '{\"driver\":\"raw\","
	"\"node-name\":\"r\",\"file\":\"f\"}' -device '{\"driver\":\"scsi-hd\",\"drive\":\"r\","
	"\"lun\":1}'",
	"-accel kvm -m 1G -device lsi53c895a,id=l -drive if=none,id=d,format=raw,"
	"file=nbd+unix:///x?socket=/s -device scsi-hd,drive=d,serial=a -global scsi-hd.lun=3 -set "
	"device.e.serial=1 -object memory-backend-ram,id=m,size=1G -numa node,memdev=m",
	"-device lsi,id=l -object x-remote-object,id=o,devid=l,path=/x -blockdev qcow2,node-name=q,"
	"file.driver=file,file.filename=x,backing=null -blockdev null-co,node-name=n,size=1 "
	"-blockdev raw,node-name=r,file=n -device scsi-hd,drive=r -drive "
	"'id=z,file=json:{\"driver\":\"raw\",,\"file\":{\"driver\":\"null-co\"}}' "
	"-device scsi-cd,drive=z -add-fd fd=3,set=1 -name a",
	"-device lsi,id=l -object x-remote-object,id=o,devid=l,fd=lsi -drive id=d,driver=quorum,"
	"children.0.driver=file,vote-threshold=1 -device scsi-hd,drive=d -drive id=e,format=raw,"
	"file.driver=nbd,file.host=a,file.port=1 -device scsi-hd,drive=e,wwn=0x5 -drive id=f,"
	"file=null-co://,file.size=1M -device scsi-hd,drive=f",
};

/* What is put in: the characters that mean something, and words that do. */
static const char *const bits[] = {
	",", "=", ".", "{", "}", "[", "]", "\"", ":", "no", "help", "?", "0", "-1",
	"99999999999999999999", "file.", "file", "driver", "node-name", "id", "drive", "bus",
	"json:", "nbd:", "on", "k", "\x01", "\xff", "%s", "%n",
};

/* Below @limit; 0 if that is 0. */
static guint32 pick(GRand *rand, gsize limit)
{
	return limit ? g_rand_int_range(rand, 0, limit) : 0;
}

static void mutate(GRand *rand, char **argv, int argc)
{
	char **word = &argv[1 + pick(rand, argc - 1)];
	GString *text = g_string_new(*word);
	gsize at = pick(rand, text->len + 1), left = text->len - at;
	g_autofree char *part = g_strndup(text->str + at, pick(rand, left + 1));

	switch (pick(rand, 6)) {
	case 0:
		g_string_insert(text, at, bits[pick(rand, G_N_ELEMENTS(bits))]);
		break;
	case 1:
		g_string_erase(text, at, pick(rand, MIN(left, 8) + 1));
		break;
	case 2:
		if (left)
			text->str[at] = 1 + pick(rand, 255);
		break;
	case 3:
		g_string_insert(text, at, argv[1 + pick(rand, argc - 1)]);
		break;
	case 4:
		g_string_insert(text, at, part);
		break;
	default:
		g_string_truncate(text, at);
		break;
	}
	g_free(*word);
	*word = g_string_free(text, FALSE);
}

static void test_mutate(void)
{
	GRand *rand = g_rand_new_with_seed(SEED);
	unsigned parsed = 0, rewritten = 0;

	for (unsigned i = 0; i < RUNS; i++) {
		const char *seed = seeds[pick(rand, G_N_ELEMENTS(seeds))];
		g_autofree char *line = g_strconcat("qemu-system-x86_64 ", seed, NULL);
		g_auto(GStrv) argv = NULL;
		int argc;

		g_assert_true(g_shell_parse_argv(line, &argc, &argv, NULL));
		for (unsigned k = 1 + pick(rand, 4); k > 0; k--)
			mutate(rand, argv, argc);
		parsed += line_try_remote(argv);
		rewritten += line_try_move(argv, NULL, NULL);
	}
	g_rand_free(rand);
	/* both ways: else the lines are bent too much or too little to say anything */
	g_assert_cmpuint(parsed, >, RUNS / 100);
	g_assert_cmpuint(parsed, <, RUNS / 2);
	g_assert_cmpuint(rewritten, >, RUNS / 100);
}

/* Lines that fuzzing has found, cut down. */
static const char *const found[] = {
	/* an empty name was looked for behind the end of an argument */
	"-cpu host -device lsi -drive if=none,id= -device scsi-hd,drive=",
};

static void test_found(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(found); i++) {
		g_autofree char *line = g_strconcat("qemu-system-x86_64 ", found[i], NULL);
		g_auto(GStrv) argv = NULL;

		g_assert_true(g_shell_parse_argv(line, NULL, &argv, NULL));
		line_try_remote(argv);
		line_try_move(argv, NULL, NULL);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/mutate/found", test_found);
	g_test_add_func("/mutate/command-lines", test_mutate);
	return g_test_run();
}
